// Who did what at the desk: a chain in which each entry vouches for all before it.

import { get } from './api.js';
import { AuditList } from './hold_facts.js';
import { attempt } from './notices.js';
import { html, useEffect, useState } from './html.js';
import { link } from './route.js';

const LIMIT = 200;

export function DeskAudit() {
  const [entries, setEntries] = useState([]);
  const [isSound, setSound] = useState(true);
  const [more, setMore] = useState(false);
  const read = (after, before) => attempt(async () => {
    const answer = await get(['desk', 'audit'], { after, limit: LIMIT });
    setEntries(before.concat(answer.entries));
    setSound(answer.sound);
    setMore(answer.entries.length === LIMIT);
  });
  useEffect(() => {
    read(0, []);
  }, []);
  return html`
    <section class="page" aria-label="Audit of the desk">
      <p><a href=${link('desk')}>← Desk</a></p><h1>Audit</h1>
      ${isSound ? html`<p class="dim">Every entry's hash covers the one before it; the chain is whole.</p>`
        : html`<p class="banner" role="alert">The chain of this audit is broken: an entry was changed or taken out.</p>`}
      <${AuditList} entries=${entries} withHold=${true} />
      ${more ? html`<button onClick=${() => read(entries.at(-1).n, entries)}>Show more</button>` : null}
    </section>
  `;
}
