// Chooses light or dark before the first paint. A classic script, loaded in the
// head without `defer` on purpose: a module would run after the page was drawn.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("peerage-theme");
  } catch {
    // Storage may be closed to us; the system's preference then decides.
  }
  const dark = chosen
    ? chosen === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
})();
