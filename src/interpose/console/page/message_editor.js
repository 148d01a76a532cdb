// An editor of HTTP messages: start line, fields as rows, content as text, JSON or octets.
//
// A *draft* is {method, url, status, reason, fields, content}; content is {shape: "text" | "json" | "hex" | "kept", text}.
// What was not touched is not sent: `editOf(draft, before)` gives only the keys that differ, as the console wants them.

import { classes, html, useId } from './html.js';
import { fromHex, toBase64, toHex } from './hex.js';
import { problemOf } from './json_text.js';
import { Choice } from './parts.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'];

/** What stops this draft from being sent, in a sentence; empty when nothing does. */
export function problemIn(draft) {
  const { content } = draft;
  if (draft.fields.some(([name, value]) => !name.trim() && value.trim())) return 'A field has a value and no name.';
  if (content.shape === 'json' && content.text.trim()) return problemOf(content.text);
  if (content.shape !== 'hex') return '';
  try {
    fromHex(content.text);
    return '';
  } catch (error) {
    return error.message;
  }
}

/** What differs between two drafts, as an edit. */
export function editOf(draft, before) {
  const edit = {};
  for (const name of ['method', 'url', 'status', 'reason']) {
    if (draft[name] !== before[name]) edit[name] = draft[name];
  }
  const fields = draft.fields.filter(([name]) => name.trim());
  if (JSON.stringify(fields) !== JSON.stringify(before.fields)) edit.fields = fields;
  if (octets(draft.content) !== octets(before.content)) {
    if (draft.content.shape === 'hex') edit.base64 = toBase64(fromHex(draft.content.text));
    else edit.text = draft.content.text;
  }
  return edit;
}

/** Whether anything differs between two drafts. What cannot be read was edited. */
export function isEdited(draft, before) {
  try {
    return Object.keys(editOf(draft, before)).length > 0;
  } catch {
    return true;
  }
}

// A content in one form, whatever its shape: to look at it as octets is not to change it.
function octets({ shape, text }) {
  if (shape === 'kept') return null;
  return toHex(shape === 'hex' ? fromHex(text) : new TextEncoder().encode(text));
}

/** `shapes`: [[shape, label]] that the content can take; choosing one calls `onShape`. Without a head it is content only. */
export function MessageEditor({ draft, onChange, isResponse = false, hasHead = true, shapes, onShape, note, isReadOnly = false }) {
  const set = (name, value) => onChange({ ...draft, [name]: value });
  return html`
    <fieldset class="editor" disabled=${isReadOnly}>
      ${hasHead ? (isResponse ? html`<${StatusLine} draft=${draft} set=${set} />` : html`<${RequestLine} draft=${draft} set=${set} />`) : null}
      ${hasHead ? html`<${FieldRows} fields=${draft.fields} onChange=${(fields) => set('fields', fields)} />` : null}
      <${ContentEditor} content=${draft.content} onChange=${(content) => set('content', content)} shapes=${shapes} onShape=${onShape} note=${note} />
    </fieldset>
  `;
}

function RequestLine({ draft, set }) {
  const list = useId();
  return html`
    <div class="edit-line">
      <label class="method-input"><span>Method</span>
        <input class="code" value=${draft.method} list=${list} spellcheck=${false} onInput=${(event) => set('method', event.target.value)} /></label>
      <datalist id=${list}>${METHODS.map((method) => html`<option key=${method} value=${method} />`)}</datalist>
      <label class="grow"><span>URL</span>
        <input class="code" type="text" inputmode="url" value=${draft.url} spellcheck=${false} onInput=${(event) => set('url', event.target.value)} /></label>
    </div>
  `;
}

function StatusLine({ draft, set }) {
  return html`
    <div class="edit-line">
      <label class="method-input"><span>Status</span><input class="code" type="number" min="200" max="599" value=${draft.status}
        onInput=${(event) => set('status', Number(event.target.value))} /></label>
      <label class="grow"><span>Reason</span><input class="code" value=${draft.reason} onInput=${(event) => set('reason', event.target.value)} /></label>
    </div>
  `;
}

function FieldRows({ fields, onChange }) {
  const change = (index, part, text) => onChange(fields.map((field, at) => (at === index ? (part ? [field[0], text] : [text, field[1]]) : field)));
  const remove = (index) => onChange(fields.filter((_, at) => at !== index));
  const add = () => onChange([...fields, ['', '']]);
  const pressed = (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    add();
    const box = event.currentTarget;
    requestAnimationFrame(() => box.querySelector('.field-row:last-of-type input')?.focus());
  };
  return html`
    <fieldset class="field-rows" onKeyDown=${pressed}>
      <legend>Fields</legend>
      ${fields.map(
        ([name, value], index) => html`<div class="field-row" key=${index}>
          <input class="code name" value=${name} aria-label=${`Name of field ${index + 1}`} spellcheck=${false} placeholder="Name"
            onInput=${(event) => change(index, 0, event.target.value)} />
          <input class="code" value=${value} aria-label=${name ? `Value of ${name}` : `Value of field ${index + 1}`} spellcheck=${false}
            onInput=${(event) => change(index, 1, event.target.value)} />
          <button type="button" class="plain" aria-label=${`Take out ${name || 'the field'}`} onClick=${() => remove(index)}>×</button>
        </div>`,
      )}
      <button type="button" class="small" onClick=${add}>Add a field</button>
    </fieldset>
  `;
}

function ContentEditor({ content, onChange, shapes, onShape, note }) {
  const problem = problemIn({ fields: [], content });
  const format = () => onChange({ ...content, text: JSON.stringify(JSON.parse(content.text), null, 2) });
  const id = useId();
  return html`
    <div class="edit-content">
      <div class="content-bar">
        <label for=${id}>Content</label>
        ${shapes.length > 1 ? html`<${Choice} label="Edit as" value=${content.shape} options=${shapes} onChange=${onShape} />` : null}
        ${content.shape === 'json' ? html`<button type="button" class="small" disabled=${Boolean(problem) || !content.text} onClick=${format}>Format</button>` : null}
      </div>
      ${note ? html`<p class="dim">${note}</p>` : null}
      ${content.shape === 'kept' ? null : html`<textarea id=${id} class=${classes('code', problem && 'wrong')} rows="12" spellcheck=${false}
        value=${content.text} aria-invalid=${Boolean(problem)} onInput=${(event) => onChange({ ...content, text: event.target.value })}></textarea>`}
      ${problem ? html`<p class="field-problem" role="alert">${problem}</p>` : null}
    </div>
  `;
}
