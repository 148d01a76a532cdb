// A request of the journal, edited and sent again.

import { get, getOctets, send } from './api.js';
import { attempt } from './notices.js';
import { html, useEffect, useState } from './html.js';
import { toHex } from './hex.js';
import { Dialog } from './parts.js';
import { editOf, MessageEditor, problemIn } from './message_editor.js';

const MOST_OCTETS = 2 << 20;

export function FlowReplay({ id, onClose, onDone }) {
  const [before, setBefore] = useState(null);
  const [draft, setDraft] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    draftOf(id).then(
      (made) => {
        setBefore(made);
        setDraft(made.draft);
      },
      (error) => setProblem(error.message),
    );
  }, [id]);
  const submit = async () => {
    setBusy(true);
    setProblem('');
    try {
      const answer = await send('POST', ['flows', id, 'replay'], { message: editOf(draft, before.draft) });
      onDone(answer);
      onClose();
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
    }
  };
  const wrong = draft ? problemIn(draft) : '';
  return html`
    <${Dialog} title=${`Edit flow ${id} and send it`} onClose=${onClose} wide=${true}>
      ${problem ? html`<p class="banner" role="alert">${problem}</p>` : null}
      ${draft ? html`
        ${before.missing.length ? html`<p class="banner">The journal does not keep secrets: write ${before.missing.join(', ')} anew where it is needed.</p>` : null}
        <${MessageEditor} draft=${draft} onChange=${setDraft} shapes=${[[draft.content.shape, draft.content.shape]]} note=${before.note} />
        <footer class="dialog-actions"><button onClick=${onClose}>Cancel</button>
          <button class="primary" disabled=${isBusy || Boolean(wrong)} onClick=${submit}>${isBusy ? 'Sending…' : 'Send'}</button></footer>`
        : problem ? null : html`<p class="dim">Reading…</p>`}
    </${Dialog}>
  `;
}

async function draftOf(id) {
  const flow = await get(['flows', id]);
  const { content, note } = await contentOf(flow);
  const hidden = new Set((flow.request.redacted || []).map((name) => name.toLowerCase()));
  const fields = flow.request.fields.filter(([name]) => !hidden.has(name.toLowerCase()));
  return {
    draft: { method: flow.method, url: flow.url, fields, content, status: 0, reason: '' },
    missing: flow.request.redacted || [],
    note,
  };
}

async function contentOf(flow) {
  const { size, kept } = flow.request;
  if (!size) return { content: { shape: 'text', text: '' }, note: '' };
  if (kept < size) return { content: { shape: 'kept', text: '' }, note: 'Not all of the content was kept, so it cannot be edited.' };
  const { octets } = await getOctets(['flows', flow.id, 'request', 'content'], { decoded: 1 });
  if (octets.length > MOST_OCTETS) return { content: { shape: 'kept', text: '' }, note: 'The content is too long to be edited here; it is sent as it was.' };
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(octets);
    return { content: { shape: looksLikeJson(flow, text) ? 'json' : 'text', text }, note: '' };
  } catch {
    return { content: { shape: 'hex', text: toHex(octets) }, note: '' };
  }
}

function looksLikeJson(flow, text) {
  const type = flow.request.fields.find(([name]) => name.toLowerCase() === 'content-type')?.[1] || '';
  return /json/i.test(type) && /^\s*[[{"\d]/.test(text);
}
