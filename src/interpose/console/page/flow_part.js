// One side of an exchange: its fields and its content.

import { Content } from './content_view.js';
import { html } from './html.js';
import { size } from './words.js';

/** `side` is "request" or "response". */
export function FlowPart({ flow, side }) {
  const part = flow[side];
  if (side === 'response' && !flow.status) {
    return html`<p class="dim pad">The client got no answer${flow.failure ? `: ${flow.failure.replaceAll('_', ' ')}` : ''}.</p>`;
  }
  const line = side === 'request' ? `${flow.method} ${flow.url}` : `${flow.status} ${flow.reason || ''}`;
  return html`
    <p class="start-line code wrap">${line}</p>
    <${Fields} fields=${part.fields} redacted=${part.redacted} />
    <h3>Content <span class="dim">${size(part.size)}${part.size > part.kept ? `, of which ${size(part.kept)} were kept` : ''}</span></h3>
    <${Content} address=${['flows', flow.id, side, 'content']} preview=${['flows', flow.id, 'preview', side]} size=${part.size} kept=${part.kept} />
  `;
}

/** Field lines as a table; those that were redacted say so. */
export function Fields({ fields, redacted = [] }) {
  const hidden = new Set(redacted.map((name) => name.toLowerCase()));
  if (!fields.length) return html`<p class="dim">No fields.</p>`;
  return html`
    <table class="fields"><caption class="unseen">Fields</caption><tbody>
      ${fields.map(([name, value], index) => html`<tr key=${index}><th scope="row">${name}</th>
        <td>${value}${hidden.has(name.toLowerCase()) ? html` <span class="tag" title="The journal does not keep this value">redacted</span>` : null}</td></tr>`)}
    </tbody></table>
  `;
}
