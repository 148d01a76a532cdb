// A chart of series over time, drawn by uPlot.

import { html, useEffect, useRef } from './html.js';
import { useStore } from './store.js';
import { colour, theme } from './theme.js';
import { clock } from './words.js';
import uPlot from './vendor/uplot-1.6.32.js';

const HEIGHT_PX = 170;

/** `series`: [{label, values, colour: "--name", fill}], one value for each of `at` (seconds). `format` says a value. */
export function Chart({ title, at, series, format }) {
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
      plot.current = new uPlot(options(place.clientWidth, series, format), latest.current, place);
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
  const said = series.map((one) => `${one.label} ${latestOf(one)}`).join(', ');
  return html`
    <figure class="chart">
      <figcaption><h3>${title}</h3><ul>${series.map((one) => html`<li key=${one.label}><i class=${one.colour.slice(2)}></i>${one.label}
        <b>${latestOf(one)}</b></li>`)}</ul></figcaption>
      <div ref=${box} role="img" aria-label=${`${title}, the last 15 minutes; now: ${said}`}></div>
    </figure>
  `;
}

function options(width, series, format) {
  const line = colour('--line');
  const axis = { stroke: colour('--dim'), grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  // With seconds while there is less than a few minutes to show, or marks would repeat.
  const time = (u, seconds, axisAt, space, step) => seconds.map((one) => clock(one).slice(0, step < 60 ? 8 : 5));
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 4, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: { y: { range: (u, low, high) => [0, Math.max(high * 1.1, 1)] } },
    axes: [
      { ...axis, size: 26, space: 70, values: time },
      { ...axis, size: 66, space: 36, values: (u, values) => values.map(format) },
    ],
    series: [{}, ...series.map((one) => ({
      label: one.label,
      stroke: colour(one.colour),
      width: 1.5,
      points: { show: false },
      fill: one.fill ? faint(colour(one.colour)) : undefined,
    }))],
  };
}

const faint = (solid) => solid.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)');
