// The strips below the cameras: what came in the last five minutes.
import { $ } from './state.js';
import uPlot from './uPlot.js';

const axes = [{ show: false }, { stroke: '#a8a8a8', grid: { stroke: '#2a2a2a' }, size: 64 }];

function plot(id, series) {
  const width = () => Math.max(200, $(id).clientWidth);
  const chart = new uPlot({
    width: width(), height: 110, axes, legend: { show: false }, cursor: { y: false }, scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(1, high * 1.1)] } },
    series: [{}, ...series.map(([label, stroke]) => ({ label, stroke, width: 1.5, points: { show: false } }))],
  }, [[], ...series.map(() => [])], $(id));
  new ResizeObserver(() => chart.setSize({ width: width(), height: 110 })).observe($(id));
  return chart;
}

const plots = {
  age: plot('plot-age', [['p50', '#56b4e9'], ['p95', '#e69f00'], ['p99', '#d55e00']]),
  rate: plot('plot-rate', [['frames/s', '#009e73']]),
  lost: plot('plot-lost', [['dropped', '#e69f00'], ['failed', '#d55e00']]),
};

const last = (series, count = 5) => {
  const known = series.slice(-count).filter(value => value !== null);
  return known.length ? known.reduce((a, b) => a + b) / known.length : null;
};
const shown = (value, digits) => value === null ? '–' : value.toFixed(digits);

/** Draws what the viewer counted. */
export function chart(s) {
  plots.age.setData([s.seconds, s.p50, s.p95, s.p99]);
  plots.rate.setData([s.seconds, s.rate]);
  plots.lost.setData([s.seconds, s.dropped, s.failed]);
  $('age').textContent = ['p50', 'p95', 'p99'].map(name => `${name} ${shown(last(s[name]), 0)}`).join(' · ');
  $('rate').textContent = shown(last(s.rate), 1);
  $('lost').textContent = `${shown(last(s.dropped), 1)} · ${shown(last(s.failed), 1)}`;
  const sum = counts => Object.values(counts).reduce((a, b) => a + b, 0);
  const total = (what, reasons) => `${sum(reasons)} ${what}`
    + (sum(reasons) ? ` (${Object.entries(reasons).map(([reason, n]) => `${reason}: ${n}`).join(', ')})` : '');
  $('totals').textContent = `In all, since the viewer began at ${new Date(1000 * s.since).toLocaleTimeString()}: ` + [
    `${Object.values(s.cameras).reduce((n, camera) => n + camera.results, 0)} results`,
    total('dropped', s.dropReasons), total('failed', s.failureReasons),
    ...(sum(s.unreadable) ? [total('not readable', s.unreadable)] : []),
    ...Object.entries(s.cameras).map(([c, n]) => `${c || '(no camera)'}: ${n.results} results, ${n.dropped} dropped, ${n.failed} failed`)].join(' · ');
}
