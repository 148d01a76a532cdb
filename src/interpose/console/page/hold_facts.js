// What is known of a held message besides itself: whose it is, why it waits, what was done about it.

import { Fields } from './flow_part.js';
import { html } from './html.js';
import { address } from './api.js';
import { Pairs } from './parts.js';
import { link } from './route.js';
import { moment, size } from './words.js';

export function HoldFacts({ hold }) {
  const { content } = hold;
  return html`
    <${Pairs} pairs=${[
      ['Held as', hold.id], ['By the rule', hold.rule], ['Since', moment(hold.at)], ['Client', hold.client], ['User', hold.user],
      ['Until', hold.deadline ? moment(hold.deadline) : ''], ['Version', hold.version], ['Digest', html`<span class="code wrap">${hold.digest}</span>`],
      ['Content', content.size ? `${size(content.size)}${content.coding ? `, ${content.coding}` : ''}` : 'none'],
      ['Decided', hold.verdict ? `${hold.verdict} by ${hold.by}` : ''], ['Why', hold.why], ['Outcome', hold.outcome],
      ['Tries to send it', hold.attempts || ''], ['Next try', hold.next_try ? moment(hold.next_try) : ''],
      ['Flows', html`<a href=${link('flows', [], { q: `note.hold:${hold.id}` })}>of this message</a>`],
    ]} />
    ${content.size ? html`<p><a class="small button" href=${address(['desk', hold.id, 'content'], { decoded: 1 })} download>Download the content</a></p>` : null}
    ${hold.request ? html`<h3>The request it answers</h3><p class="start-line code wrap">${hold.request.method} ${hold.request.url}</p>
      <${Fields} fields=${hold.request.fields || []} />` : null}
    <h3>What was done</h3>
    <${AuditList} entries=${hold.audit || []} />
  `;
}

/** Entries of the audit, oldest first. */
export function AuditList({ entries, withHold = false }) {
  if (!entries.length) return html`<p class="dim">Nothing yet.</p>`;
  return html`<ol class="audit">${entries.map((entry) => html`<li key=${entry.n}>
    <time>${moment(entry.at)}</time> <b>${entry.who}</b> ${entry.what}
    ${withHold && entry.hold ? html` <a href=${link('desk', [entry.hold])}>${entry.hold}</a>` : null}
    ${entry.version ? html` <span class="dim">version ${entry.version}</span>` : null}
    ${entry.why ? html` <q>${entry.why}</q>` : null}</li>`)}</ol>`;
}
