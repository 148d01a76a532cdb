// What the firewall refused in the last quarter of an hour, in pieces long enough that single refusals can be seen.

import { Chart } from './chart.js';
import { html, useEffect, useMemo } from './html.js';
import { load, overview } from './overview_data.js';
import { useStore } from './store.js';

const PIECE_S = 15;

export function FirewallChart() {
  const all = useStore(overview);
  useEffect(() => {
    load();
  }, []);
  const { at = [], blocked = [], detected = [] } = all?.series || {};
  const drawn = useMemo(() => [pieces(at, blocked), pieces(at, detected)], [at]);
  if (!blocked.some((one) => one !== null && one !== undefined)) return null;
  const [refused, noted] = drawn;
  return html`<div class="charts"><${Chart} title=${`Refused in ${PIECE_S} seconds`} at=${[...refused.keys()]} format=${whole} series=${[
    { label: 'blocked', values: [...refused.values()], colour: '--series-4', fill: true }, { label: 'only noted', values: [...noted.values()], colour: '--series-3' }]} /></div>`;
}

// Nothing is refused by halves: marks between are left blank.
const whole = (value) => (Number.isInteger(value) ? value.toLocaleString('en') : '');

/** The sums of the values in each piece of time, by its beginning; null where nothing is known. The last still grows. */
export function pieces(at, values) {
  const sums = new Map();
  at.forEach((second, place) => {
    const began = Math.floor(second / PIECE_S) * PIECE_S;
    const before = sums.get(began) ?? null;
    const value = values[place] ?? null;
    sums.set(began, value === null ? before : (before || 0) + value);
  });
  return sums;
}
