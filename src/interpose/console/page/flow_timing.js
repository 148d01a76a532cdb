// When things happened: one bar for the exchange, one for each attempt upstream, on the same scale.

import { html } from './html.js';
import { duration } from './words.js';

export function Timing({ flow }) {
  const times = flow.timings;
  const total = times?.total_ms ?? flow.duration_ms;
  if (!times || !total) return null;
  const phases = [
    ['request', 'Request', times.request_ms], ['waiting', 'Waiting', times.waiting_ms], ['response', 'Response', times.response_ms],
  ].filter(([, , ms]) => ms > 0);
  return html`
    <h3>Time <span class="dim">${duration(total)}</span></h3>
    <div class="timing" role="img" aria-label=${phases.map(([, label, ms]) => `${label} ${duration(ms)}`).join(', ')}>
      <div class="bar">${phases.map(([name, , ms]) => html`<i key=${name} class=${name} style=${{ flexGrow: String(ms) }}></i>`)}</div>
      ${flow.attempts.map((attempt, index) => html`<${AttemptBar} key=${index} attempt=${attempt} total=${total} />`)}
    </div>
    <ul class="legend">${phases.map(([name, label, ms]) => html`<li key=${name}><i class=${name}></i>${label} <b>${duration(ms)}</b></li>`)}</ul>
  `;
}

function AttemptBar({ attempt, total }) {
  const start = attempt.started_ms || 0;
  const connected = Math.max(start, attempt.connected_ms || start);
  const first = Math.max(connected, attempt.first_byte_ms || total);
  const share = (ms) => `${Math.min(100, Math.max(0, (ms / total) * 100))}%`;
  return html`<div class="attempt-bar" title=${`To ${attempt.origin}: first octet after ${duration(first)}`}>
    <i class="connect" style=${{ left: share(start), width: share(connected - start) }}></i>
    <i class="wait" style=${{ left: share(connected), width: share(first - connected) }}></i>
  </div>`;
}
