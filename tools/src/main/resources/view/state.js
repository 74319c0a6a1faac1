// What the page knows and shows. Everything a test needs to look at is in window.uplift.

export const $ = id => document.getElementById(id);

// The views by their names in the address; on the right the parts of records that they draw.
const VIEWS = { segmentation: 'labels', features: 'colours', depth: 'values', similarity: 'similar', frame: 'none' };
const VIEW = 'labels', OPACITY = 60;

const query = new URLSearchParams(location.search);
const asked = query.get('opacity');

export const state = {
  chosen: query.getAll('camera'),
  head: query.get('head') ?? '', view: VIEWS[query.get('view')] ?? VIEW, opacity: (/^\d{1,2}$|^100$/.test(asked) ? Number(asked) : OPACITY) / 100,
  safe: false, paused: false, step: false, hidden: new Set(),
  labels: [], cameras: new Map(), after: 0, query: null, shown: 0, statistics: null, fixed: null, range: null,
};
window.uplift = state;

/** The classes of a part, and what tells one from those of other models. */
export const classes = part => part.labels ?? state.labels;
export const key = label => `${label.id} ${label.name}`;

/** The address of this view, head and opacity with these cameras. */
export function address(cameras) {
  const parameters = new URLSearchParams(cameras.map(name => ['camera', name]));
  const opacity = Math.round(100 * state.opacity);
  if (state.view !== VIEW) parameters.set('view', Object.keys(VIEWS).find(name => VIEWS[name] === state.view));
  if (state.head) parameters.set('head', state.head);
  if (opacity !== OPACITY) parameters.set('opacity', opacity);
  return '?' + parameters;
}

/** Puts view, head, opacity and cameras into the address, to be kept or sent. */
export function remember() {
  history.replaceState(null, '', location.pathname + address(state.chosen).replace(/^\?$/, '') + location.hash);
}

export function hint(text) {
  $('hint').textContent = text;
  $('hint').hidden = !text;
}
