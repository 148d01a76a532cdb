// Two people edited the same message. Nothing is lost: what the other saved, what is written here, and the choice.

import { Changes } from './hold_changes.js';
import { draftOf, messageOf } from './hold_draft.js';
import { html } from './html.js';

export function Conflict({ theirs, mine, onTheirs, onMine }) {
  const who = theirs.audit?.filter((entry) => entry.version === theirs.version && entry.what === 'edited').at(-1)?.who;
  return html`
    <section class="conflict" role="alert" aria-label="Somebody else changed it">
      <h3>${who || 'Somebody else'} changed it while you were editing</h3>
      <p>The desk has version ${theirs.version}. Your edit is still here, and not saved.</p>
      <div class="actions"><button onClick=${onTheirs}>Take theirs, give up mine</button>
        <button class="danger" onClick=${onMine}>Save mine over theirs</button></div>
      <details open><summary>What differs</summary>
        <${Changes} before=${messageOf(draftOf(theirs))} after=${messageOf(mine)} names=${['Theirs', 'Mine']} /></details>
    </section>
  `;
}
