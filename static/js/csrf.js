// A module without effects: the page and other modules may each load it.

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]').content;
}
