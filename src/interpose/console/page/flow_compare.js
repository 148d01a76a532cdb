// Two flows side by side: only what differs, then where to read on.

import { get } from './api.js';
import { html } from './html.js';
import { Empty, useLoaded } from './parts.js';
import { link } from './route.js';
import { duration, moment } from './words.js';

export function FlowCompare({ first, second, back }) {
  const { value, problem } = useLoaded((signal) => get(['flows', 'compare'], { a: first, b: second }, signal), [first, second]);
  return html`
    <section class="page" aria-label="Comparison">
      <p><a href=${back}>← Flows</a></p>
      <h1>Flows ${first} and ${second}</h1>
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${value ? html`
        <div class="scroll"><table class="differences">
          <thead><tr><th scope="col">What</th><th scope="col"><${Side} flow=${value.a} /></th><th scope="col"><${Side} flow=${value.b} /></th></tr></thead>
          <tbody>${value.differences.map((one) => html`<tr key=${one.where}><th scope="row">${place(one.where)}</th>
            <td><${Value} value=${one.a} /></td><td><${Value} value=${one.b} /></td></tr>`)}</tbody>
        </table></div>
        ${value.differences.length ? null : html`<${Empty} title="No difference"><p>What is kept of both is the same.</p></${Empty}>`}` : null}
    </section>
  `;
}

const Side = ({ flow }) => html`<a href=${link('flows', [flow.id])}>${flow.method || flow.kind} ${flow.host}</a>
  <span class="dim"> ${moment(flow.started)} · ${duration(flow.duration_ms)}</span>`;

const Value = ({ value }) => (value === null || value === undefined
  ? html`<span class="dim">not there</span>` : html`<pre class="content">${typeof value === 'string' ? value : JSON.stringify(value, null, 2)}</pre>`);

const place = (where) => where.split('.').join(' › ').replaceAll('_', ' ');
