// What the colours of the view mean: classes, components, metres or similarity.
import { part } from './cameras.js';
import { colour, LEAST_SIMILAR, ramp } from './paint.js';
import { $, classes, key, state } from './state.js';

function swatch(rgb, text, tag = 'span') {
  const entry = document.createElement(tag), box = document.createElement('i');
  box.style.background = `rgb(${rgb})`;
  entry.append(box, text);
  return entry;
}

/** A band of colours between two values. */
function scale(low, high) {
  const band = document.createElement('i'), stops = [0, 0.25, 0.5, 0.75, 1].map(share => `rgb(${ramp(share)})`);
  band.className = 'band';
  band.style.background = `linear-gradient(to right, ${stops})`;
  return [low, band, high];
}

/** The classes of all cameras, which may be of several models. */
function shown() {
  const parts = [...state.cameras.values()].map(camera => part(camera, 'labels')).filter(Boolean);
  const all = new Map((parts.length ? parts.flatMap(classes) : state.labels).map(label => [key(label), label]));
  return [...all.values()];
}

let listed = '';
const list = () => shown().map(key).join('\n');

/** Draws the legend of classes anew where there are others than before. */
export function follow(redraw) {
  if (state.view === 'labels' && list() !== listed) legend(redraw);
}

function buttons(redraw) {
  listed = list();
  return shown().map(label => {
    const button = swatch(colour(label, state.safe), label.name, 'button');
    button.dataset.label = label.id;
    button.setAttribute('aria-pressed', !state.hidden.has(key(label)));
    button.title = 'Show or hide; double click: this class alone';
    button.addEventListener('click', () => {
      if (!state.hidden.delete(key(label))) state.hidden.add(key(label));
      button.setAttribute('aria-pressed', !state.hidden.has(key(label)));
      redraw();
    });
    button.addEventListener('dblclick', () => {
      state.hidden = new Set(shown().map(key).filter(other => other !== key(label)));
      legend(redraw);
      redraw();
    });
    return button;
  });
}

const number = value => Number(value.toPrecision(3)).toString();

const LEGENDS = {
  labels: buttons,
  colours: () => ['Features by their first three principal components, of which like colours are like features: ',
    swatch([255, 64, 64], 'first'), swatch([64, 255, 64], 'second'), swatch([64, 64, 255], 'third')],
  values: () => state.range
    ? scale(`far, ${number(state.range.far)} ${state.range.unit}`, `near, ${number(state.range.near)} ${state.range.unit}`) : [],
  similar: () => ['Cosine with the pixel that was clicked: ', ...scale(`${LEAST_SIMILAR} or less`, '1')],
  none: () => [],
};

/** Draws the legend of the view. */
export function legend(redraw) {
  $('legend').replaceChildren(...LEGENDS[state.view](redraw));
  $('legend').setAttribute('aria-label', { labels: 'Classes', values: 'Depth' }[state.view] ?? 'Colours');
}
