// Upstreams: how their servers stand and stood, and draining one of them.

import { get } from './api.js';
import { Chart } from './chart.js';
import { html, useEffect, useState } from './html.js';
import { CommandLine, Empty, useLoaded } from './parts.js';
import { Drain } from './upstream_drain.js';
import { Servers, STATES } from './upstream_servers.js';
import { clock, count, duration, rate } from './words.js';

const LOOK_MS = 2000;
const MOST_OPEN = 4;
const USABLE = new Set(['up', 'trying', 'lone']);
const NOTHING = { at: [], upstreams: [], servers: [], changes: [] };
const WAYS = {
  round_robin: 'each server in turn', least_active: 'the server with the least under way', fastest: 'the better of two drawn by lot',
  hash: 'always the same server for the same', first: 'the first server that is up',
};

/** How they stand, and what was kept of how they stood; an instance that keeps nothing says so with 404. */
const look = (signal) => Promise.all([get('upstreams', {}, signal), get(['upstreams', 'history'], {}, signal).catch((problem) => {
  if (problem.status === 404) return NOTHING;
  throw problem;
})]);

export default function Upstreams() {
  const [draining, setDraining] = useState(null);
  const { value, problem, reload } = useLoaded(look, []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || reload(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const [now, past] = value || [{ upstreams: [], servers: [] }, NOTHING];
  const all = together(now, past);
  if ((value && !all.length) || problem?.status === 404) {
    return html`<section class="page"><${Empty} title="This instance has no upstreams"><p>A gateway has. With several servers it chooses among them:</p>
      <${CommandLine} text="interpose gateway 127.0.0.1:9000 127.0.0.1:9001" /></${Empty}></section>`;
  }
  return html`
    <section class="page upstreams" aria-label="Upstreams" aria-busy=${!value && !problem}>
      <h1 class="unseen">Upstreams</h1>
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${all.map((one) => html`<${Upstream} key=${one.name} one=${one} at=${past.at} isOpen=${all.length <= MOST_OPEN} onDrain=${setDraining} onDone=${reload} />`)}
      <${Lately} changes=${past.changes} />
      ${draining ? html`<${Drain} row=${draining} isLast=${isLast(all, draining)} onClose=${() => setDraining(null)} onDone=${() => { setDraining(null); reload(); }} />` : null}
    </section>
  `;
}

/** Upstreams in the order of the configuration, then those that it does not name; each with its servers and series. */
function together({ upstreams, servers }, past) {
  const made = new Map(upstreams.map((about) => [about.name, { name: about.name, about, servers: [], series: null, lines: new Map() }]));
  for (const row of servers) {
    if (!made.has(row.upstream)) made.set(row.upstream, { name: row.upstream, about: null, servers: [], series: null, lines: new Map() });
    made.get(row.upstream).servers.push(row);
  }
  for (const series of past.upstreams) if (made.has(series.upstream)) made.get(series.upstream).series = series;
  for (const line of past.servers) made.get(line.upstream)?.lines.set(line.server, line);
  return [...made.values()];
}

const isLast = (all, row) => all.some((one) => one.name === row.upstream && !one.about?.backup
  && one.servers.every((other) => other.drain === row.drain || !USABLE.has(other.state)));

function Upstream({ one, at, isOpen, onDrain, onDone }) {
  const { name, about, servers, series, lines } = one;
  const usable = servers.filter((row) => USABLE.has(row.state)).length;
  const isLone = servers.length === 1 && servers[0].state === 'lone';
  const tone = usable === servers.length ? STATES.up : usable ? STATES.trying : STATES.down;
  return html`
    <article class="card upstream" aria-labelledby=${`upstream-${name}`}>
      <header>
        <h2 id=${`upstream-${name}`} class="wrap">${name}</h2>
        ${servers.length && !isLone ? html`<span class=${`tag ${tone}`}>${usable} of ${servers.length} get requests</span>` : null}
        <span class="dim wrap">${about ? setUp(about, isLone) : 'proxies on the way'}</span>
      </header>
      ${servers.length ? html`<${Servers} servers=${servers} lines=${lines} onDrain=${onDrain} onDone=${onDone} />` : html`<p class="dim wrap">${unseen(about)}</p>`}
      ${series ? html`<details open=${isOpen}><summary>The last quarter of an hour</summary><${Charts} series=${series} at=${at} /></details>` : null}
    </article>
  `;
}

function setUp(about, isLone) {
  const words = [];
  if (!isLone && (about.servers.length > 1 || about.srv.length)) words.push(`${WAYS[about.balance]}${about.hash_on ? ` ${about.hash_on.replace(':', ' ')}` : ''}`);
  if (about.sticky_cookie) words.push(`the cookie ${about.sticky_cookie} keeps clients`);
  if (about.check) words.push(`asked every ${about.check.interval_s} s${about.check.kind === 'http' ? ` for ${about.check.path}` : ', by connecting'}`);
  if (about.srv.length) words.push(`named by ${about.srv.join(', ')}`);
  if (about.backup) words.push(`${about.backup} stands in`);
  if (about.mirror) words.push(`${about.mirror} gets copies of ${Math.round(about.mirror_share * 1000) / 10} %`);
  return words.join(' · ');
}

function unseen(about) {
  if (about.servers.length === 1 && !about.srv.length) {
    return `${about.servers[0]} is alone: nothing is chosen, so nothing is counted. With a [metrics] table its requests are.`;
  }
  return about.servers.length ? 'No worker has told of these servers: nothing leads to them.' : 'No name server has named a server yet.';
}

const Charts = ({ series, at }) => html`
  <div class="charts">
    <${Chart} title="Requests a second" at=${at} format=${rate} series=${[
      { label: 'all', values: series.requests, colour: '--series-1', fill: true }, { label: 'failed', values: series.failed, colour: '--series-4' }]} />
    <${Chart} title="To the first byte" at=${at} format=${duration} series=${[
      { label: 'mean', values: series.latency_ms, colour: '--series-1' }, { label: 'slowest server', values: series.slowest_ms, colour: '--series-3' }]} />
    ${series.active.some((one) => one !== null) ? html`<${Chart} title="Under way" at=${at} format=${rate} series=${[
      { label: 'requests', values: series.active, colour: '--series-2', fill: true }]} />` : null}
  </div>
`;

function Lately({ changes }) {
  if (!changes.length) return null;
  return html`
    <section class="card lately" aria-label="Lately"><h2>Lately</h2>
      <ol class="decisions">${changes.map((one) => html`<li key=${`${one.at} ${one.upstream} ${one.server}`}><span class="dim">${clock(one.at)}</span>
        <span class="wrap"><span class="code">${one.server}</span> of ${one.upstream} ${became(one)}</span></li>`)}</ol>
      ${changes.length > 49 ? html`<p class="dim">The latest ${count(changes.length, 'change')}.</p>` : null}
    </section>
  `;
}

function became({ before, after, why }) {
  if (!before) return html`is new: <b>${after}</b>`;
  if (!after) return html`is <b>gone</b>`;
  return html`was ${before} and is <b>${after}</b>${why ? `: ${why}` : ''}`;
}
