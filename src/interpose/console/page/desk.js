// The desk: what waits for a decision, and the message one looks at.

import { describe } from './alerts.js';
import { listed, load, queue } from './desk_queue.js';
import { DeskAudit } from './desk_audit.js';
import { DeskRules } from './desk_rules.js';
import { Deadline, HoldDetail } from './hold_detail.js';
import { classes, html, useEffect, useRef } from './html.js';
import { useKeys } from './keys.js';
import { Choice, CommandLine, Empty, useNow } from './parts.js';
import { go, link, route } from './route.js';
import { othersAt } from './session.js';
import { useStore } from './store.js';
import { size, span } from './words.js';

/** #/desk/ID, #/desk/rules, #/desk/audit. */
export default function Desk({ place }) {
  const [first = null] = place.parts;
  if (first === 'rules') return html`<${DeskRules} />`;
  if (first === 'audit') return html`<${DeskAudit} />`;
  return html`<${Queue} chosen=${first} />`;
}

function Queue({ chosen }) {
  const { rows, waiting, problem, isLoaded } = useStore(queue);
  const state = useStore(listed);
  const list = useRef(null);
  const choose = (id) => go('desk', id ? [id] : [], {}, true);
  const step = (by) => {
    const at = rows.findIndex((row) => row.id === chosen);
    const row = at < 0 ? rows[0] : rows[at + by];
    if (row) choose(row.id);
  };
  useKeys([
    { keys: ['j', 'ArrowDown'], about: 'Next message', run: () => step(1) },
    { keys: ['k', 'ArrowUp'], about: 'Previous message', run: () => step(-1) },
    { keys: ['Escape'], about: 'Close', run: () => choose(null) },
  ]);
  useEffect(() => {
    list.current?.querySelector('[aria-current=true]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);
  // When the message one looked at is decided, the next one comes up.
  const decided = (id) => {
    const at = rows.findIndex((row) => row.id === id);
    const next = rows[at + 1] || rows[at - 1];
    load();
    const { view, parts } = route.get();
    if (state === 'waiting' && view === 'desk' && parts[0] === id) choose(next && next.id !== id ? next.id : null);
  };
  return html`
    <div class=${classes('split', 'desk', chosen && 'open')}>
      <section class="list" aria-label="Held messages">
        <div class="list-bar">
          <${Choice} label="Which" value=${state} onChange=${listed.set}
            options=${[['waiting', `Waiting${waiting ? ` (${waiting})` : ''}`], ['decided', 'Decided'], ['all', 'All']]} />
          <span class="grow"></span>
          <a href=${link('desk', ['rules'])}>Rules</a><a href=${link('desk', ['audit'])}>Audit</a>
        </div>
        ${problem ? html`<p class="banner" role="alert">${problem.message} <button class="small" onClick=${load}>Try again</button></p>` : null}
        <ol class="holds" ref=${list}>${rows.map((row) => html`<${HoldRow} key=${row.id} row=${row} isChosen=${row.id === chosen} />`)}</ol>
        ${state === 'waiting' && waiting > rows.length ? html`<p class="dim pad">Of ${waiting.toLocaleString('en')} that wait these are the newest.</p>` : null}
        ${isLoaded && !rows.length && !problem ? html`<${NoHolds} state=${state} />` : null}
      </section>
      ${chosen ? html`<${HoldDetail} key=${chosen} id=${chosen} onDecided=${decided} onClose=${() => choose(null)} />` : null}
    </div>
  `;
}

function HoldRow({ row, isChosen }) {
  const isWaiting = row.state === 'waiting';
  const now = useNow(isWaiting);
  const others = othersAt(row);
  const said = [row.rule, row.user || row.client, size(row.size)].filter(Boolean).join(' · ');
  return html`
    <li><a class=${classes('hold', row.state)} href=${link('desk', [row.id])} aria-current=${isChosen ? 'true' : null}>
      <span class="hold-title"><b>${row.method || row.what}</b> <span class="code">${row.url}</span></span>
      <span class="hold-facts"><span class="dim">${said}</span>
        ${others.length ? html`<span class="tag looks">${others.join(', ')} ${others.length > 1 ? 'look' : 'looks'}</span>` : null}
        <span class="grow"></span>
        ${isWaiting
          ? row.deadline ? html`<${Deadline} hold=${row} />` : html`<span class="dim">waits ${span(Math.max(0, now - row.at))}</span>`
          : html`<span class=${`tag ${row.verdict || ''}`}>${verdictOf(row)}</span>`}
      </span>
      <span class="unseen">${describe(row)}</span></a></li>
  `;
}

const verdictOf = (row) => ({ release: 'released', drop: 'dropped', answer: 'answered' }[row.verdict] || row.state) + (row.by ? ` by ${row.by}` : '');

const NoHolds = ({ state }) => (state === 'waiting'
  ? html`<${Empty} title="Nothing waits"><p>What a hold rule means stops here until somebody has looked at it. Begin with one rule:</p>
      <${CommandLine} text=${"interpose proxy --hold 'method:POST'"} />
      <p class="dim">Or write [[hold]] in the configuration, and reload.</p></${Empty}>`
  : html`<${Empty} title="Nothing yet"><p>Decisions are listed here once they were made.</p></${Empty}>`);
