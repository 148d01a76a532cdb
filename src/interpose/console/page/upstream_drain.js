// Draining a server: what follows is said before it is done.

import { send } from './api.js';
import { html, useState } from './html.js';
import { notice } from './notices.js';
import { Dialog } from './parts.js';

export function Drain({ row, isLast, onClose, onDone }) {
  const [problem, setProblem] = useState('');
  const [isBusy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await send('POST', ['upstreams', 'drain'], { server: row.drain, undo: false });
      notice(`${row.drain} gets no new requests.`);
      onDone();
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
    }
  };
  return html`
    <${Dialog} title="Drain a server" onClose=${onClose}>
      <form onSubmit=${submit}>
        <p><span class="code">${row.drain}</span> gets no new requests, in whichever upstreams it is, until it is let in again. What is under way on it goes on${row.active ? `: ${row.active} now` : ''}.</p>
        ${isLast ? html`<p class="banner" role="alert">No other server of ${row.upstream} gets requests: they will be answered with 503.</p>` : null}
        ${problem ? html`<p class="field-problem" role="alert">${problem}</p>` : null}
        <footer class="dialog-actions"><button type="button" onClick=${onClose}>Cancel</button>
          <button class=${isLast ? 'danger' : 'primary'} disabled=${isBusy}>Drain</button></footer>
      </form>
    </${Dialog}>
  `;
}
