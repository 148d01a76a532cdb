// How what is known of an experiment came to be: the difference of each variant to the control, with what it surely is.

import { get } from './api.js';
import { Chart } from './chart.js';
import { html, useState } from './html.js';
import { useLoaded } from './parts.js';

const COLOURS = ['--series-1', '--series-3', '--series-2', '--series-4'];

/** The goals' charts, asked for when they are opened. */
export function Trend({ name }) {
  const [isOpen, setOpen] = useState(false);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>How it came to be</summary>
    ${isOpen ? html`<${Charts} name=${name} />` : null}</details>`;
}

function Charts({ name }) {
  const { value, problem } = useLoaded((signal) => get(['experiments', name, 'trend'], {}, signal), [name]);
  if (problem) return html`<p class="banner" role="alert">${problem.message}</p>`;
  if (!value) return null;
  if (value.at.length < 2) return html`<p class="dim">Nothing was kept of it yet: a point is kept a minute at first, later fewer.</p>`;
  return html`<div class="charts">${value.goals.map((goal) => html`<${Differences} key=${goal.goal} goal=${goal} at=${value.at} />`)}</div>
    <p class="dim">Differences to the control, with the intervals that hold however often one looks. Where one leaves zero and the sample ratio is sound, there is a verdict.</p>`;
}

function Differences({ goal, at }) {
  const isShare = goal.kind === 'conversion';
  const scaled = (values) => values.map((value) => (value === null ? null : isShare ? value * 100 : value));
  const shown = (value) => (isShare ? `${signed(value)} points` : signed(value));
  const all = goal.variants.slice(1);
  const told = furthest(all, COLOURS.length);
  const series = told.flatMap((one, place) => [
    { label: one.variant, values: scaled(one.difference), colour: COLOURS[place] },
    { label: one.variant, values: scaled(one.high), colour: COLOURS[place], isEdge: true },
    { label: one.variant, values: scaled(one.low), colour: COLOURS[place], isEdge: true },
  ]);
  return html`<${Chart} title=${`${goal.goal}, to ${goal.variants[0].variant}`} at=${at} format=${shown} series=${series} isSigned=${true} span="all of its life" />
    ${all.length > told.length ? html`<p class="dim">The ${told.length} of ${all.length} variants that are furthest from the control now.</p>` : null}`;
}

/** As many of the variants as there are colours: those whose last difference is the largest, in their order. */
export function furthest(variants, most) {
  const size = (one) => Math.abs(one.difference.at(-1) ?? 0);
  const chosen = new Set([...variants].sort((one, other) => size(other) - size(one)).slice(0, most));
  return variants.filter((one) => chosen.has(one));
}

const signed = (value) => `${value > 0 ? '+' : ''}${Number(value.toPrecision(3)).toLocaleString('en')}`;
