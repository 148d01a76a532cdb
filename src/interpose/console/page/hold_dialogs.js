// What is asked before a decision: why it is dropped, what the answer is, for how long a rule holds.

import { send } from './api.js';
import { emptyAnswer, reshaped } from './hold_draft.js';
import { notice } from './notices.js';
import { html, useState } from './html.js';
import { editOf, MessageEditor, problemIn } from './message_editor.js';
import { Dialog } from './parts.js';

const SPANS = [[3600, 'an hour'], [86_400, 'a day'], [604_800, 'a week'], [2_592_000, 'thirty days']];

export function Drop({ onClose, onDone }) {
  const [why, setWhy] = useState('');
  const submit = (event) => {
    event.preventDefault();
    onDone(why.trim());
  };
  return html`
    <${Dialog} title="Drop this message" onClose=${onClose}>
      <form onSubmit=${submit}>
        <p>It does not go on. An HTTP client is told so with a 403.</p>
        <label>Why <span class="dim">(kept in the audit)</span><input value=${why} autofocus onInput=${(event) => setWhy(event.target.value)} /></label>
        <footer class="dialog-actions"><button type="button" onClick=${onClose}>Cancel</button><button class="danger">Drop</button></footer>
      </form>
    </${Dialog}>
  `;
}

export function Answer({ onClose, onDone }) {
  const [draft, setDraft] = useState(emptyAnswer);
  const wrong = problemIn(draft);
  const reshape = (shape) => {
    try {
      setDraft(reshaped(draft, shape));
    } catch (error) {
      notice(error.message, true);
    }
  };
  const submit = () => onDone({ status: draft.status, fields: draft.fields.filter(([name]) => name.trim()), text: '', ...editOf(draft, emptyAnswer()) });
  return html`
    <${Dialog} title="Answer by hand" onClose=${onClose} wide=${true}>
      <p>The request does not go on; the client gets this.</p>
      <${MessageEditor} draft=${draft} onChange=${setDraft} isResponse=${true} shapes=${[['text', 'Text'], ['json', 'JSON'], ['hex', 'Hex']]} onShape=${reshape} />
      <footer class="dialog-actions"><button onClick=${onClose}>Cancel</button>
        <button class="primary" disabled=${Boolean(wrong)} onClick=${submit}>Answer</button></footer>
    </${Dialog}>
  `;
}

export function AllowRule({ hold, onClose }) {
  const [query, setQuery] = useState(suggested(hold));
  const [seconds, setSeconds] = useState(604_800);
  const [problem, setProblem] = useState('');
  const submit = async (event) => {
    event.preventDefault();
    try {
      await send('POST', ['desk', hold.id, 'rule'], { query: query.trim(), for_s: seconds });
      notice('From now on what is like this passes without waiting. This one still waits.');
      onClose();
    } catch (error) {
      setProblem(error.message);
    }
  };
  return html`
    <${Dialog} title="Always let this pass" onClose=${onClose}>
      <form onSubmit=${submit}>
        <p>What this query means is not held any more, until the time is over.</p>
        <label>Query<input class="code" value=${query} spellcheck=${false} onInput=${(event) => setQuery(event.target.value)} /></label>
        <label>For <select value=${seconds} onChange=${(event) => setSeconds(Number(event.target.value))}>
          ${SPANS.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</select></label>
        ${problem ? html`<p class="field-problem" role="alert">${problem}</p>` : null}
        <footer class="dialog-actions"><button type="button" onClick=${onClose}>Cancel</button>
          <button class="primary" disabled=${!query.trim()}>Let pass</button></footer>
      </form>
    </${Dialog}>
  `;
}

function suggested(hold) {
  let host = hold.url || '';
  try {
    host = new URL(hold.url).hostname || host;
  } catch {
    host = host.replace(/:\d+$/, '');
  }
  return [hold.method ? `method:${hold.method}` : '', host ? `host:${host}` : ''].filter(Boolean).join(' ');
}
