// The servers of one upstream: how each stands, with its last minutes as small lines.

import { send } from './api.js';
import { html } from './html.js';
import { attempt, notice } from './notices.js';
import { count, duration, rate } from './words.js';

const WIDTH = 90;
const HEIGHT = 20;

/** The tone of each state. */
export const STATES = { up: 'fresh', trying: 'stale', drained: 'stale', down: 'failed', ejected: 'failed', lone: '' };

export function Servers({ servers, lines, onDrain, onDone }) {
  const hasWeights = servers.some((row) => row.weight !== undefined && row.weight !== 1);
  return html`
    <div class="scroll"><table class="listing servers"><thead><tr><th scope="col">Server</th><th scope="col">State</th>
      ${hasWeights ? html`<th scope="col" class="number">Weight</th>` : null}<th scope="col" class="number">Under way</th><th scope="col" class="number">A second</th>
      <th scope="col" class="number">Failed</th><th scope="col" class="number">Latency</th><th scope="col"><span class="unseen">Drain</span></th></tr></thead>
      <tbody>${servers.map((row) => html`<${Server} key=${row.server} row=${row} line=${lines.get(row.server)} hasWeights=${hasWeights} onDrain=${onDrain} onDone=${onDone} />`)}</tbody>
    </table></div>
  `;
}

function Server({ row, line, hasWeights, onDrain, onDone }) {
  const failed = row.failures + row.errors;
  const about = `${count(row.failures, 'request')} without an answer, ${count(row.errors, 'answer')} of 5xx`;
  return html`
    <tr>
      <td><span class="code wrap">${row.server}</span>${row.why && row.state !== 'up' ? html`<div class="dim why wrap">${row.why}</div>` : null}</td>
      <td><span class=${`tag ${STATES[row.state] || ''}`} title=${inWorkers(row)}>${stateOf(row)}</span></td>
      ${hasWeights ? html`<td class="number">${row.weight}</td>` : null}
      <td class="number">${row.active ?? '–'}</td>
      <td class="number"><${Line} values=${line?.requests} over=${line?.failed} what="requests a second" said=${rate} /></td>
      <td class=${failed ? 'number bad' : 'number'} title=${about}>${failed.toLocaleString('en')}<span class="dim"> of ${row.requests.toLocaleString('en')}</span></td>
      <td class="number"><${Line} values=${line?.latency_ms} what="latency" said=${duration} now=${row.latency_s * 1000} /></td>
      <td class="number">${row.drain ? html`<${DrainButton} row=${row} onDrain=${onDrain} onDone=${onDone} />` : null}</td>
    </tr>
  `;
}

function DrainButton({ row, onDrain, onDone }) {
  const undo = () => attempt(async () => {
    await send('POST', ['upstreams', 'drain'], { server: row.drain, undo: true });
    notice(`${row.drain} gets requests again.`);
    onDone();
  });
  if (row.state === 'drained') return html`<button class="small" aria-label=${`Let ${row.server} have requests again`} onClick=${undo}>Let in</button>`;
  return html`<button class="small" aria-label=${`Drain ${row.server}`} onClick=${() => onDrain(row)}>Drain…</button>`;
}

// Each worker judges by its own requests, so for a while they may differ.
function stateOf(row) {
  const states = Object.keys(row.workers || {});
  return states.length > 1 ? states.map((state) => `${state} in ${row.workers[state]}`).join(', ') : row.state === 'lone' ? 'alone' : row.state;
}

const inWorkers = (row) => Object.entries(row.workers || {}).map(([state, number]) => `${state} in ${count(number, 'worker')}`).join(', ') || null;

/** The last values as a line from left to right, and the newest in words. What is not known is a gap. `over`: a second line, of failures. */
function Line({ values = [], over = [], what, said, now = values.at(-1) ?? 0 }) {
  const most = Math.max(1e-9, ...values);
  return html`<span class="line-cell">
    <svg class="line" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`${what} of the last minutes, ${said(most > 1e-9 ? most : 0)} at most`}>
      <path d=${pathOf(values, most)} />${over.some(Boolean) ? html`<path class="failed" d=${pathOf(over, most)} />` : null}</svg>
    <span>${now ? said(now) : '–'}</span></span>`;
}

/** The path through the values, the last at the right edge; a gap begins it anew. */
export function pathOf(values, most) {
  const from = WIDTH - values.length;
  let path = '';
  let isDrawing = false;
  values.forEach((value, place) => {
    if (value === null) {
      isDrawing = false;
      return;
    }
    path += `${isDrawing ? 'L' : 'M'}${from + place + 1} ${Math.round((HEIGHT - 1 - (HEIGHT - 2) * Math.min(1, value / most)) * 10) / 10}`;
    isDrawing = true;
  });
  return path;
}
