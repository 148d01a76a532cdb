// What reviewers decided to let pass for a while.

import { get, send } from './api.js';
import { attempt } from './notices.js';
import { html } from './html.js';
import { Empty, useLoaded, useNow } from './parts.js';
import { link } from './route.js';
import { moment, span } from './words.js';

export function DeskRules() {
  const { value, problem, reload } = useLoaded((signal) => get(['desk', 'rules'], {}, signal), []);
  const now = useNow();
  const end = (id) => attempt(() => send('DELETE', ['desk', 'rules', id]).then(reload));
  return html`
    <section class="page" aria-label="Rules of the desk">
      <p><a href=${link('desk')}>← Desk</a></p><h1>Let pass for a while</h1>
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${value?.rules.length ? html`<div class="scroll"><table class="listing">
        <thead><tr><th scope="col">Query</th><th scope="col">By</th><th scope="col">Ends</th><th scope="col"><span class="unseen">Action</span></th></tr></thead>
        <tbody>${value.rules.map((rule) => html`<tr key=${rule.id}><td class="code wrap">${rule.query}</td><td>${rule.who}</td>
          <td title=${moment(rule.until)}>${rule.until > now ? `in ${span(rule.until - now)}` : 'now'}</td>
          <td><button class="small" onClick=${() => end(rule.id)}>End it</button></td></tr>`)}</tbody></table></div>` : null}
      ${value && !value.rules.length ? html`<${Empty} title="No such rule">
        <p>“Always let pass” at a held message makes one.</p></${Empty}>` : null}
    </section>
  `;
}
