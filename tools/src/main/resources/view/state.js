// What the page knows and shows. Everything a test needs to look at is in window.uplift.

export const $ = id => document.getElementById(id);

export const state = {
  chosen: new URLSearchParams(location.search).getAll('camera'),
  view: 'labels', opacity: 0.6, safe: false, paused: false, step: false, hidden: new Set(),
  labels: [], cameras: new Map(), after: 0, query: null, shown: 0, statistics: null, fixed: null,
};
window.uplift = state;

export function hint(text) {
  $('hint').textContent = text;
  $('hint').hidden = !text;
}
