// The overview: how much passes, how fast, what is wrong.

import { Chart } from './chart.js';
import { html, useEffect } from './html.js';
import { load, overview } from './overview_data.js';
import { CommandLine, useNow } from './parts.js';
import { link } from './route.js';
import { Scripts } from './scripts.js';
import { exampleLine } from './session.js';
import { useStore } from './store.js';
import { count, duration, rate, size, span } from './words.js';

const perSecond = (octets) => `${size(octets)}/s`;

export default function Overview() {
  const all = useStore(overview);
  useEffect(() => {
    load();
  }, []);
  if (!all) return html`<section class="page" aria-busy="true"><p class="dim">Reading…</p></section>`;
  const { now, series } = all;
  return html`
    <section class="page overview" aria-label="Overview">
      <h1 class="unseen">Overview</h1>
      <${Problems} problems=${all.problems} />
      <${Tiles} now=${now} journal=${all.journal} />
      <div class="charts">
        <${Chart} title="Requests a second" at=${series.at} format=${rate} series=${[
          { label: 'all', values: series.requests, colour: '--series-1', fill: true }, { label: 'failed', values: series.errors, colour: '--series-4' }]} />
        <${Chart} title="Time to answer" at=${series.at} format=${duration} series=${[
          { label: 'half', values: series.p50_ms, colour: '--series-1' }, { label: '95 %', values: series.p95_ms, colour: '--series-3' },
          { label: '99 %', values: series.p99_ms, colour: '--series-4' }]} />
        <${Chart} title="Bytes" at=${series.at} format=${perSecond} series=${[
          { label: 'to clients', values: series.bytes_out, colour: '--series-1', fill: true }, { label: 'from clients', values: series.bytes_in, colour: '--series-2' }]} />
        <${Chart} title="Open connections" at=${series.at} format=${rate} series=${[
          { label: 'connections', values: series.connections, colour: '--series-2', fill: true }]} />
      </div>
      <div class="columns">
        <${Hosts} hosts=${all.top_hosts} />
        <${Workers} workers=${all.workers} />
        <${Scripts} age=${all.problems} />
        <${About} all=${all} />
      </div>
    </section>
  `;
}

function Problems({ problems }) {
  if (!problems.length) return null;
  return html`<ul class="problems" aria-label="What is wrong">${problems.map((one) => html`<li key=${one.text}>
    <span>${one.text}</span>${one.link?.startsWith('#/') ? html` <a href=${one.link}>Look</a>` : null}</li>`)}</ul>`;
}

function Tiles({ now }) {
  const tiles = [
    ['Requests a second', rate(now.requests_per_s)], ['Failed a second', rate(now.errors_per_s), now.errors_per_s > 0 && 'bad'],
    ['Half within', duration(now.p50_ms)], ['99 % within', duration(now.p99_ms)], ['Exchanges now', now.exchanges.toLocaleString('en')], ['Open connections', now.connections.toLocaleString('en')],
    ['From the cache', now.hit_ratio === null || now.hit_ratio === undefined ? '–' : `${Math.round(now.hit_ratio * 100)} %`],
    ['Waiting at the desk', now.waiting_holds, now.waiting_holds > 0 && 'waits', link('desk')],
  ];
  return html`<dl class="tiles">${tiles.map(([name, value, tone, to]) => html`<div key=${name} class=${tone || null}><dt>${name}</dt>
    <dd>${to ? html`<a href=${to}>${value}</a>` : value}</dd></div>`)}</dl>`;
}

const Hosts = ({ hosts }) => html`
  <section class="card"><h2>Hosts asked most</h2>
    ${hosts.length ? html`<div class="scroll"><table class="listing"><thead><tr><th scope="col">Host</th><th scope="col" class="number">Requests</th>
      <th scope="col" class="number">Bytes</th><th scope="col" class="number">Failed</th></tr></thead>
      <tbody>${hosts.map((one) => html`<tr key=${one.host}><td class="wrap"><a href=${link('flows', [], { q: `host:${one.host}` })}>${one.host}</a></td>
        <td class="number">${one.requests.toLocaleString('en')}</td><td class="number">${size(one.bytes)}</td>
        <td class=${one.errors ? 'number bad' : 'number'}>${one.errors.toLocaleString('en')}</td></tr>`)}</tbody></table></div>`
      : html`<p class="dim">Nobody has asked yet. Try:</p><${CommandLine} text=${exampleLine()} />`}
  </section>
`;

const Workers = ({ workers }) => html`
  <section class="card"><h2>Workers</h2>
    <div class="scroll"><table class="listing"><thead><tr><th scope="col">Process</th><th scope="col">State</th><th scope="col" class="number">Connections</th>
      <th scope="col" class="number">Exchanges</th><th scope="col" class="number">Memory</th><th scope="col" class="number">Restarts</th></tr></thead>
      <tbody>${workers.map((one) => html`<tr key=${one.slot}><td>${one.pid}</td><td>${one.state}</td><td class="number">${one.connections}</td>
        <td class="number">${one.exchanges}</td><td class="number">${size(one.memory_bytes)}</td>
        <td class=${one.restarts ? 'number bad' : 'number'}>${one.restarts}</td></tr>`)}</tbody></table></div>
  </section>
`;

function About({ all }) {
  const { instance, journal } = all;
  const since = useNow(false);
  return html`
    <section class="card"><h2>This instance</h2>
      <dl class="pairs">
        <div><dt>Name</dt><dd>${instance.name}</dd></div><div><dt>Version</dt><dd>${instance.version}</dd></div>
        <div><dt>Runs for</dt><dd title=${new Date((since - instance.uptime_s) * 1000).toLocaleString()}>${span(instance.uptime_s)}</dd></div>
        ${(instance.listeners || []).map((one) => html`<div key=${one.name}><dt>${one.role || one.name}</dt><dd class="wrap">${one.url || one.address}</dd></div>`)}
        ${journal ? html`<div><dt>Journal</dt><dd>${count(journal.records, 'record')}, ${size(journal.bytes)}</dd></div>
          <div><dt>Not recorded</dt><dd>${journal.dropped_total ? `${count(journal.dropped_total, 'record')}, for lack of time` : 'none'}</dd></div>
          <div><dt>Text searchable</dt><dd>${journal.index_lag_s ? `${span(journal.index_lag_s)} late` : 'all of it'}</dd></div>` : null}
      </dl>
    </section>
  `;
}
