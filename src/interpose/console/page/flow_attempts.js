// The other side of the proxy: what really went upstream, each time.

import { Fields } from './flow_part.js';
import { html } from './html.js';
import { Pairs } from './parts.js';
import { duration } from './words.js';

export function FlowAttempts({ flow }) {
  if (!flow.attempts.length) {
    return html`<p class="dim pad">Nothing went upstream: it was answered here. The summary's notes say by what.</p>`;
  }
  return flow.attempts.map((attempt, index) => html`
    <section class="attempt" key=${index}>
      <h3>${flow.attempts.length > 1 ? `Attempt ${index + 1}: ` : ''}<span class="code wrap">${attempt.origin}</span></h3>
      ${attempt.failure ? html`<p class="verdict problem">${attempt.failure.replaceAll('_', ' ')}</p>` : null}
      <${Pairs} pairs=${[
        ['From', attempt.local], ['To', attempt.peer], ['Connection', attempt.reused ? 'one that was open already' : 'a new one'], ['TLS', attempt.tls],
        ['Began after', duration(attempt.started_ms)],
        ['Connected after', attempt.reused || !attempt.connected_ms ? '' : duration(attempt.connected_ms)],
        ['First octet after', attempt.first_byte_ms ? duration(attempt.first_byte_ms) : ''], ['Answered', attempt.status || ''],
      ]} />
      ${attempt.line ? html`<h4>The request as it was sent</h4><p class="start-line code wrap">${attempt.line}</p><${Fields} fields=${attempt.head || []} />` : null}
    </section>
  `);
}
