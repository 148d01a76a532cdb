// What the cache is good for: its share of the answers over time, and which of what it stores is asked for most.

import { get } from './api.js';
import { Chart } from './chart.js';
import { html, useEffect } from './html.js';
import { load, overview } from './overview_data.js';
import { useLoaded } from './parts.js';
import { useStore } from './store.js';
import { count } from './words.js';

const LOOKED_AT = 500;
const SHOWN = 8;

const percent = (value) => (value === null || value === undefined ? '–' : `${Math.round(value)} %`);

/** Its share of the answers in the last quarter of an hour. */
export function HitRatio() {
  const all = useStore(overview);
  useEffect(() => {
    load();
  }, []);
  const ratios = all?.series.hit_ratio;
  if (!ratios?.some((one) => one !== null)) return null;
  return html`<${Chart} title="Answered from the cache" at=${all.series.at} format=${percent} series=${[
    { label: 'of the last minute', values: ratios.map((one) => (one === null ? null : one * 100)), colour: '--series-1', fill: true }]} />`;
}

/** The URLs that were answered from it most often lately, as the journal has them. */
export function Hottest({ onChoose }) {
  const { value } = useLoaded((signal) => get('flows', { q: 'is:cached', limit: LOOKED_AT }, signal), []);
  const flows = value?.flows || [];
  if (!flows.length) return null;
  const times = new Map();
  for (const flow of flows) times.set(flow.url, (times.get(flow.url) || 0) + 1);
  const hottest = [...times].sort((one, other) => other[1] - one[1]).slice(0, SHOWN);
  return html`
    <section class="card"><h2>Asked most</h2>
      <p class="dim">Of the last ${count(flows.length, 'answer')} from the cache.</p>
      <div class="scroll"><table class="listing"><tbody>${hottest.map(([url, asked]) => html`<tr key=${url}>
        <td class="wrap"><button class="plain stored-url code" onClick=${() => onChoose(url)}>${url}</button></td><td class="number">${asked.toLocaleString('en')}</td></tr>`)}</tbody></table></div>
    </section>
  `;
}
