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
  latency: plot('plot-latency', [['p50', '#56b4e9'], ['p95', '#e69f00'], ['p99', '#d55e00']]),
  rate: plot('plot-rate', [['frames/s', '#009e73']]),
  lost: plot('plot-lost', [['dropped', '#e69f00'], ['failed', '#d55e00']]),
};

const last = (series, count = 5) => {
  const known = series.slice(-count).filter(value => value !== null);
  return known.length ? known.reduce((a, b) => a + b) / known.length : 0;
};

/** Draws what the viewer counted. */
export function chart(s) {
  plots.latency.setData([s.seconds, s.p50, s.p95, s.p99]);
  plots.rate.setData([s.seconds, s.rate]);
  plots.lost.setData([s.seconds, s.dropped, s.failed]);
  $('latency').textContent = `p50 ${last(s.p50).toFixed(0)} · p95 ${last(s.p95).toFixed(0)} · p99 ${last(s.p99).toFixed(0)}`;
  $('rate').textContent = last(s.rate).toFixed(1);
  const sum = reasons => Object.values(reasons).reduce((a, b) => a + b, 0);
  $('lost').textContent = `dropped ${sum(s.dropReasons)} · failed ${sum(s.failureReasons)}`
    + (sum(s.unreadable) ? ` · not readable ${sum(s.unreadable)}` : '');
  $('reasons').textContent = [...Object.entries(s.dropReasons).map(([r, n]) => `dropped, ${r}: ${n}`),
    ...Object.entries(s.failureReasons).map(([r, n]) => `failed, ${r}: ${n}`),
    ...Object.entries(s.unreadable).map(([r, n]) => `not readable, ${r}: ${n}`),
    ...Object.entries(s.cameras).map(([c, n]) => `${c || '(no camera)'}: ${n.results} results, ${n.dropped} dropped, ${n.failed} failed`)].join(' · ');
}
