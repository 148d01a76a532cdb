// The rules that matched in one exchange: number, what each adds, where, and its words.

import { html } from './html.js';

export const Rules = ({ rules }) => html`
  <ul class="rules">${rules.map((rule, at) => html`<li key=${at}>
    <b class="code">${rule.rule}</b> <span class="dim">+${rule.score}</span> <span class="code">${rule.where}</span> ${rule.message}</li>`)}</ul>
`;
