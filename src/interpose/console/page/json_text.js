// JSON for reading: its words coloured, and where it is wrong.

import { html } from './html.js';

const WORDS = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|\b(true|false|null)\b/g;

/** The text as pieces, each with the class of what it is. */
export function coloured(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(WORDS)) {
    if (match.index > end) pieces.push(text.slice(end, match.index));
    const [whole, string, colon, number] = match;
    if (string && colon) pieces.push(html`<span class="json-name">${string}</span>`, colon);
    else if (string) pieces.push(html`<span class="json-string">${string}</span>`);
    else pieces.push(html`<span class=${number ? 'json-number' : 'json-word'}>${whole}</span>`);
    end = match.index + whole.length;
  }
  pieces.push(text.slice(end));
  return pieces;
}

/** Why a text is no JSON, in a sentence; empty when it is. */
export function problemOf(text) {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    const at = /position (\d+)/.exec(error.message);
    if (!at) return `This is no JSON: ${error.message}`;
    const before = text.slice(0, Number(at[1])).split('\n');
    return `This is no JSON, from line ${before.length}, column ${before.at(-1).length + 1} on.`;
  }
}
