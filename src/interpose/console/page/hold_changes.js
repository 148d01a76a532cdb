// What has been changed of a held message, or what differs between two editors' drafts.

import { headDifferences, lineDifferences, withContext } from './differences.js';
import { html, useMemo } from './html.js';

/** `before` and `after` are messages with `fields`, and a content of `text` or `hex`. `names` heads the two sides. */
export function Changes({ before, after, names = ['As it came', 'As it is now'] }) {
  const head = useMemo(() => headDifferences(before, after), [before, after]);
  const lines = useMemo(() => {
    const [old, now] = [contentText(before), contentText(after)];
    return old === now ? [] : withContext(lineDifferences(old, now));
  }, [before, after]);
  if (!head.length && !lines.length) return html`<p class="dim pad">Nothing differs.</p>`;
  return html`
    ${head.length ? html`<div class="scroll"><table class="differences">
      <thead><tr><th scope="col">What</th><th scope="col">${names[0]}</th><th scope="col">${names[1]}</th></tr></thead>
      <tbody>${head.map((one) => html`<tr key=${one.where}><th scope="row">${one.where}</th>
        <td><${Side} value=${one.before} /></td><td><${Side} value=${one.after} /></td></tr>`)}</tbody></table></div>` : null}
    ${lines.length ? html`<h3>Content</h3><pre class="content diff" tabindex="0">${lines.map((line, index) => (line === null
      ? html`<span key=${index} class="gap">⋯${'\n'}</span>`
      : html`<span key=${index} class=${{ '-': 'gone', '+': 'new', ' ': 'same' }[line[0]]}>${line[0]} ${line[1]}${'\n'}</span>`))}</pre>` : null}
  `;
}

const Side = ({ value }) => (value === null ? html`<span class="dim">not there</span>` : html`<span class="code wrap">${String(value)}</span>`);

const contentText = (message) => message.content?.text ?? message.content?.hex ?? '';
