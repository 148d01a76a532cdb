// A held message: read, edit, decide. All decisions name the version and the digest of what is shown here, so that
// nobody releases what he has not seen.

import { describe } from './alerts.js';
import { get, send } from './api.js';
import { AllowRule, Answer, Drop } from './hold_dialogs.js';
import { Changes } from './hold_changes.js';
import { Conflict } from './hold_conflict.js';
import { draftOf, messageOf, reshaped, shapesOf } from './hold_draft.js';
import { HoldFacts } from './hold_facts.js';
import { attempt, notice } from './notices.js';
import { follow } from './events.js';
import { html, useEffect, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { editOf, isEdited, MessageEditor, problemIn } from './message_editor.js';
import { Tabs, useNow } from './parts.js';
import { othersAt } from './session.js';
import { countdown } from './words.js';

const STILL_HERE_MS = 15_000;

export function HoldDetail({ id, onDecided, onClose }) {
  const [hold, setHold] = useState(null);
  const [problem, setProblem] = useState(null);
  const [draft, setDraft] = useState(null);
  const [theirs, setTheirs] = useState(null);
  const [tab, setTab] = useState('message');
  const [dialog, setDialog] = useState('');
  const [isBusy, setBusy] = useState(false);
  const isSaving = useRef(false); // its answer says what the event about it would say
  const current = useRef({});
  current.current = { hold, draft };

  const show = (fresh) => {
    setHold(fresh);
    setDraft(draftOf(fresh));
    setTheirs(null);
  };
  const read = () => get(['desk', id]).then(show, setProblem);
  useEffect(() => {
    read();
    const say = (reviewing) => send('POST', ['desk', id, 'review'], { reviewing }).catch(() => {});
    say(true);
    const timer = setInterval(() => say(true), STILL_HERE_MS);
    return () => {
      clearInterval(timer);
      say(false);
    };
  }, [id]);
  // Changes by others: taken over at once where nothing is being edited here, else offered.
  useEffect(() => follow('hold', async (row) => {
    if (row.id !== id || !current.current.hold || isSaving.current) return;
    if (isSame(row, current.current.hold)) {
      setHold((before) => ({ ...before, ...row }));
      return;
    }
    const fresh = await attempt(() => get(['desk', id]));
    const { hold: seen, draft: mine } = current.current;
    if (!fresh || isSaving.current || isSame(fresh, seen)) return;
    if (isEdited(mine, draftOf(seen)) && fresh.state === 'waiting') setTheirs(fresh);
    else show(fresh);
  }), [id]);

  const change = hold ? isEdited(draft, draftOf(hold)) : false;
  const wrong = draft ? problemIn(draft) : '';
  const isWaiting = hold?.state === 'waiting';
  // Who has left gets no answer, but what he sent can still go on.
  const onward = hold && !hold.client_waits && hold.mode === 'wait' ? 'send' : 'release';

  const save = async (version = hold.version) => {
    isSaving.current = true;
    try {
      const fresh = await send('PUT', ['desk', id], editOf(draft, draftOf(theirs || hold)), { 'If-Match': `"${version}"` });
      show(fresh);
      return fresh;
    } catch (error) {
      if (error.status === 412 && error.data?.id) setTheirs(error.data);
      else notice(error.message, true);
      return null;
    } finally {
      isSaving.current = false;
    }
  };
  const busy = async (work) => {
    if (isBusy) return;
    setBusy(true);
    await work();
    setBusy(false);
  };
  const decide = (action, more = {}) => busy(async () => {
    const now = change && (action === 'release' || action === 'send') ? await save() : hold;
    if (!now) return;
    try {
      await send('POST', ['desk', id, action], { version: now.version, digest: now.digest, why: '', ...more });
      setDialog('');
      notice(`${DONE[action]}: ${describe(now)}`);
      onDecided(id);
    } catch (error) {
      if (error.status === 409 && error.data?.id) {
        show(error.data);
        notice('It was changed or decided before you. This is how it is now.', true);
      } else {
        notice(error.message, true);
      }
    }
  });

  const edit = () => {
    const focus = () => (document.querySelector('.editor textarea') || document.querySelector('.editor input'))?.focus();
    if (tab === 'message') return focus();
    setTab('message');
    return requestAnimationFrame(focus);
  };

  useKeys([
    { keys: ['e'], about: 'Edit', run: () => edit() },
    { keys: ['r'], about: 'Release', run: () => isWaiting && !wrong && !theirs && decide(onward) },
    { keys: ['d'], about: 'Drop', run: () => isWaiting && setDialog('drop') },
    { keys: ['a'], about: 'Answer by hand', run: () => isWaiting && hold.what === 'request' && setDialog('answer') },
    { keys: ['Ctrl+s'], about: 'Save the edit', evenTyping: true, run: () => change && !wrong && busy(save) },
    { keys: ['Escape'], evenTyping: true, run: () => (document.activeElement.closest?.('.editor') ? document.activeElement.blur() : onClose()) },
  ], !dialog);

  if (problem) return html`<aside class="detail"><${Close} close=${onClose} /><p class="banner" role="alert">${problem.message}</p></aside>`;
  if (!hold) return html`<aside class="detail" aria-busy="true"><${Close} close=${onClose} /><p class="dim pad">Reading…</p></aside>`;
  const isResponse = hold.what === 'response';
  const hasHead = hold.what === 'request' || isResponse;
  const others = othersAt(hold);
  const reshape = (shape) => {
    try {
      setDraft(reshaped(draft, shape));
    } catch (error) {
      notice(error.message, true);
    }
  };
  return html`
    <aside class="detail" aria-label=${describe(hold)}>
      <header class="detail-head">
        <${Close} close=${onClose} />
        <h2><span class="method">${hold.request ? `Answer to ${hold.request.method}` : hold.method || hold.what}</span> <span class="wrap">${hold.request ? hold.request.url : hold.url}</span></h2>
        <p class="facts">${isWaiting ? html`<strong>${hold.client_waits ? 'Its client waits' : hold.mode === 'accept'
            ? 'Its client was told 202' : 'Its client has gone'}</strong>` : html`<strong>${hold.outcome || hold.state}</strong>`}
          ${isWaiting && hold.deadline ? html`<${Deadline} hold=${hold} />` : null}
          ${hold.rule ? html`<span>${hold.rule}</span>` : null}
          ${others.length ? html`<span class="tag looks">${others.join(', ')} ${others.length > 1 ? 'look' : 'looks'} at it too</span>` : null}</p>
        ${isWaiting ? html`<div class="actions">
          <button class="primary" title="r" disabled=${isBusy || Boolean(wrong) || Boolean(theirs)} onClick=${() => decide(onward)}>
            ${onward === 'send' ? 'Send it anyway' : change ? 'Save and release' : 'Release'}</button>
          ${change ? html`<button title="Ctrl+s" disabled=${isBusy || Boolean(wrong) || Boolean(theirs)} onClick=${() => busy(save)}>Save</button>
            <button onClick=${() => setDraft(draftOf(hold))}>Undo my edit</button>` : null}
          <button class="danger" title="d" disabled=${isBusy} onClick=${() => setDialog('drop')}>Drop</button>
          ${hold.what === 'request' ? html`<button title="a" disabled=${isBusy} onClick=${() => setDialog('answer')}>Answer by hand</button>` : null}
          <button onClick=${() => setDialog('rule')}>Always let pass</button>
        </div>` : null}
      </header>
      ${theirs ? html`<${Conflict} theirs=${theirs} mine=${draft} onTheirs=${() => show(theirs)} onMine=${() => busy(() => save(theirs.version))} />` : null}
      <${Tabs} tabs=${tabsOf(hold)} chosen=${tab} onChoose=${setTab} label="Parts of the message">
        ${tab === 'message' ? html`<${MessageEditor} draft=${draft} onChange=${isWaiting ? setDraft : () => {}} isResponse=${isResponse} hasHead=${hasHead}
          shapes=${shapesOf(draft)} onShape=${reshape} note=${noteOf(hold)} isReadOnly=${!isWaiting} />` : null}
        ${tab === 'changes' ? html`<${Changes} before=${asMessage(hold.original || hold)} after=${messageOf(draft)} />` : null}
        ${tab === 'about' ? html`<${HoldFacts} hold=${hold} />` : null}
      </${Tabs}>
      ${dialog === 'drop' ? html`<${Drop} onClose=${() => setDialog('')} onDone=${(why) => decide('drop', { why })} />` : null}
      ${dialog === 'answer' ? html`<${Answer} onClose=${() => setDialog('')} onDone=${(answer) => decide('answer', { answer })} />` : null}
      ${dialog === 'rule' ? html`<${AllowRule} hold=${hold} onClose=${() => setDialog('')} />` : null}
    </aside>
  `;
}

const DONE = { release: 'Released', drop: 'Dropped', answer: 'Answered', send: 'Sent' };

const Close = ({ close }) => html`<button class="plain close" aria-label="Close the message" title="Esc" onClick=${close}>×</button>`;

/** What happens by itself, and when. */
export function Deadline({ hold }) {
  const left = hold.deadline - useNow();
  const what = { release: 'released', drop: 'dropped', answer: 'answered' }[hold.on_timeout] || 'decided';
  if (left <= 0) return html`<span class="deadline near">being ${what}…</span>`;
  return html`<span class=${left < 30 ? 'deadline near' : 'deadline'}>${what} in <b>${countdown(left)}</b></span>`;
}

const isSame = (one, other) => one.version === other.version && one.state === other.state;

const asMessage = (original) => (original.content?.kind === 'hex' ? messageOf(draftOf({ ...original, content: { ...original.content, editable: true } })) : original);

function tabsOf(hold) {
  return [{ name: 'message', label: 'Message' }, { name: 'changes', label: 'Changes', count: hold.version - 1 || 0 }, { name: 'about', label: 'About' }];
}

function noteOf(hold) {
  const { content } = hold;
  if (!content.editable && content.size) return content.why_not || 'This content cannot be edited here.';
  return content.coding ? `Sent with ${content.coding}: it is decoded here, and coded again when it leaves.` : '';
}
