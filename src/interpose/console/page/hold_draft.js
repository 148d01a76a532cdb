// A held message as something to edit: drafts for the editor, and the shapes its content can take.

import { fromHex, toHex } from './hex.js';

/** A draft of a Hold, as `message_editor` wants it. */
export function draftOf(hold) {
  const { content } = hold;
  const made = { method: hold.method || '', url: hold.url || '', status: hold.status || 0, reason: hold.reason || '', fields: hold.fields };
  if (!content.editable) return { ...made, content: { shape: 'kept', text: '' } };
  if (content.kind === 'hex') return { ...made, content: { shape: 'hex', text: spaced(content.hex || '') } };
  return { ...made, content: { shape: content.kind === 'json' ? 'json' : 'text', text: content.text || '' } };
}

/** An empty draft of an answer. */
export const emptyAnswer = () => ({
  method: '', url: '', status: 200, reason: '', fields: [['Content-Type', 'text/plain; charset=utf-8']], content: { shape: 'text', text: '' },
});

/** A draft as a message to compare with. */
export const messageOf = (draft) => ({ ...draft, content: { text: draft.content.text } });

/** In which shapes this content can be edited: [[shape, label]]. */
export function shapesOf(draft) {
  if (draft.content.shape === 'kept') return [['kept', 'Kept']];
  return [['text', 'Text'], ['json', 'JSON'], ['hex', 'Hex']];
}

/** The draft with its content in another shape; an Error when it cannot be shown so. */
export function reshaped(draft, shape) {
  const { content } = draft;
  if (content.shape === shape) return draft;
  let { text } = content;
  if (shape === 'hex') text = toHex(new TextEncoder().encode(text));
  else if (content.shape === 'hex') text = decoded(fromHex(text));
  return { ...draft, content: { shape, text } };
}

function decoded(octets) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    throw new Error('These octets are no text in UTF-8; they can only be edited as they are.');
  }
}

const spaced = (hex) => toHex(fromHex(hex.replace(/\s+/g, '').replace(/.{2}/g, '$& ')));
