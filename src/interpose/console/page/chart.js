// A chart of series over time, drawn by uPlot.

import { html, useEffect, useRef } from './html.js';
import { useStore } from './store.js';
import { colour, theme } from './theme.js';
import { clock, day } from './words.js';
import uPlot from './vendor/uplot-1.6.32.js';

const HEIGHT_PX = 170;

/**
 * `series`: [{label, values, colour: "--name", fill, isEdge}], one value for each of `at` (seconds). `format` says a value.
 * Two edges, the upper first, are those of a band. A scale is from zero, or (`isSigned`) around it. `span`: of what time.
 */
export function Chart({ title, at, series, format, isSigned = false, span = 'the last 15 minutes' }) {
  const box = useRef(null);
  const plot = useRef(null);
  const chosen = useStore(theme);
  const data = [at, ...series.map((one) => one.values)];
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    const place = box.current;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(place.clientWidth, series, format, isSigned), latest.current, place);
    };
    draw();
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: place.clientWidth, height: HEIGHT_PX }));
    watch.observe(place);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', draw);
    return () => {
      scheme.removeEventListener('change', draw);
      watch.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [chosen]);
  useEffect(() => plot.current?.setData(data), [at]);
  const latestOf = ({ values }) => (values.at(-1) === null ? '–' : format(values.at(-1) ?? 0));
  const told = series.filter((one) => !one.isEdge);
  const said = told.map((one) => `${one.label} ${latestOf(one)}`).join(', ');
  return html`
    <figure class="chart">
      <figcaption><h3>${title}</h3><ul>${told.map((one) => html`<li key=${one.label}><i class=${one.colour.slice(2)}></i>${one.label}
        <b>${latestOf(one)}</b></li>`)}</ul></figcaption>
      <div ref=${box} role="img" aria-label=${`${title}, ${span}; now: ${said}`}></div>
    </figure>
  `;
}

function options(width, series, format, isSigned) {
  const line = colour('--line');
  const axis = { stroke: colour('--dim'), grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  // With seconds while there is less than a few minutes to show, or marks would repeat.
  const time = (u, seconds, axisAt, space, step) => seconds.map((one) => (step < 3600 || clock(one) !== '00:00:00' ? clock(one).slice(0, step < 60 ? 8 : 5) : day(one)));
  const edges = series.flatMap((one, place) => (one.isEdge ? [place + 1] : []));
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 4, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: { y: { range: (u, low, high) => (isSigned ? around(u.data) : [0, Math.max(high * 1.1, 1)]) } },
    bands: edges.filter((_, number) => number % 2 === 0).map((place) => ({ series: [place, place + 1], fill: faint(colour(series[place - 1].colour)) })),
    axes: [
      { ...axis, size: 26, space: 70, values: time },
      { ...axis, size: 66, space: 36, values: (u, values) => values.map(format) },
    ],
    series: [{}, ...series.map((one) => ({
      label: one.label,
      stroke: colour(one.colour),
      width: one.isEdge ? 0.5 : 1.5,
      points: { show: false },
      fill: one.fill ? faint(colour(one.colour)) : undefined,
    }))],
  };
}

// Zero is always in sight, and what is there at first, which is wide, does not make the rest flat: it may be cut off.
const around = ([at, ...all]) => {
  const known = all.flatMap((values) => values.slice(Math.floor(at.length / 5))).filter((one) => one !== null);
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
  const margin = (high - low) * 0.1 || 1;
  return [low - margin, high + margin];
};

const faint = (solid) => solid.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)');
