"""Which text of a page is too pale to read, by the browser's own colours.

WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size. Grounds are laid over each other, as
tinted ones are transparent; what a person cannot see is left out.
"""

from __future__ import annotations

from typing import Final

PALE: Final = """
(() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
  };
  const over = (above, below) =>
    [0, 1, 2].map((i) => above[i] * above[3] + below[i] * (1 - above[3]));
  const linear = (part) =>
    part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
  const light = (colour) => .05 + .2126 * linear(colour[0])
    + .7152 * linear(colour[1]) + .0722 * linear(colour[2]);
  const ground = (item) => {
    const around = [];
    for (let at = item; at; at = at.parentElement) around.unshift(at);
    return around.reduce(
      (below, at) => over(rgba(getComputedStyle(at).backgroundColor), below),
      [1, 1, 1]);
  };
  const found = new Set();
  const chosen = ".badge, .btn, .nav-link, .text-secondary, .text-red, .form-hint,"
    + " td, th, dd, p, main a";
  for (const item of document.querySelectorAll(chosen)) {
    if (!item.innerText?.trim() || !item.offsetParent || item.disabled) continue;
    const below = ground(item);
    const [one, other] = [
      light(over(rgba(getComputedStyle(item).color), below)), light(below),
    ].sort((a, b) => b - a);
    if (one / other < 4.5) {
      found.add(`${item.className}: ${(one / other).toFixed(2)}`);
    }
  }
  return [...found];
})()
"""
