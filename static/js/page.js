// What every page needs: theme button, menu, copy buttons, local times, CSRF.
//
// No module imports this one: under its hashed name (this page's) and its plain name
// (the import's) it would run twice, and a button pressed twice does nothing.

import { csrfToken } from "./csrf.js";

const root = document.documentElement;

function toggleTheme() {
  const next = root.dataset.bsTheme === "dark" ? "light" : "dark";
  root.dataset.bsTheme = next;
  try {
    localStorage.setItem("peerage-theme", next);
  } catch {
    // The choice then lasts as long as the page.
  }
}

function toggleMenu(button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  document
    .getElementById(button.getAttribute("aria-controls"))
    .classList.toggle("show", open);
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent.trim();
  await navigator.clipboard.writeText(text);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}

function localTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

// How many wait behind an entry of the menu. Asked apart, so that no page waits for it.
async function showCount(badge) {
  const response = await fetch(badge.dataset.count, { redirect: "error" });
  if (!response.ok) return;
  const { open } = await response.json();
  badge.textContent = open;
  badge.ariaLabel = `${open} open`;
  badge.hidden = open === 0;
}

for (const badge of document.querySelectorAll("[data-count]")) {
  // A page that is left meanwhile, or a portal that restarts, is no error to show.
  showCount(badge).catch(() => {});
}

// Outside a secure context there is no clipboard; the text can be marked by hand.
if (!navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = true;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button === null) return;
  if (button.matches("[data-theme-toggle]")) toggleTheme();
  if (button.matches("[data-menu-toggle]")) toggleMenu(button);
  if (button.matches("[data-copy]")) copy(button);
});

document.addEventListener("keydown", (event) => {
  const menu = document.querySelector('[data-menu-toggle][aria-expanded="true"]');
  if (event.key === "Escape" && menu !== null) {
    toggleMenu(menu);
    menu.focus();
  }
});

// A form that was sent is not sent again by an impatient second click.
document.addEventListener("submit", (event) => {
  const buttons = event.target.querySelectorAll("button[data-once]");
  for (const button of buttons) button.disabled = true;
});

// A box that ticks the others of its form.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-tick-all]")) return;
  for (const box of event.target.form.querySelectorAll('input[name="item"]')) {
    box.checked = event.target.checked;
  }
});

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = csrfToken();
});

document.addEventListener("htmx:afterSwap", () => localTimes(document));
localTimes(document);
