// One flow in full: what was asked, what came back, when, and what went on behind the proxy.

import { attempt } from './notices.js';
import { get, send } from './api.js';
import { FlowAttempts } from './flow_attempts.js';
import { FlowMessages } from './flow_messages.js';
import { FlowPart } from './flow_part.js';
import { Marks } from './flow_table.js';
import { Timing } from './flow_timing.js';
import { html, useState } from './html.js';
import { Pairs, Tabs, useLoaded } from './parts.js';
import { link } from './route.js';
import { count, duration, moment, size, statusClass } from './words.js';

let lastTab = 'summary';

/** `actions`: {replay, edit, mark, compare, curl, close, changed}; the last is told of the flow's new row. */
export function FlowDetail({ id, actions, compared }) {
  const { value: flow, problem, reload } = useLoaded((signal) => get(['flows', id], {}, signal), [id]);
  const [tab, setTab] = useState(lastTab);
  if (!flow) {
    return html`<aside class="detail" aria-label="Flow" aria-busy=${!problem}>
      <${Close} close=${actions.close} />
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : html`<p class="dim pad">Reading flow ${id}…</p>`}
    </aside>`;
  }
  const tabs = tabsOf(flow);
  const chosen = tabs.some((one) => one.name === tab) ? tab : 'summary';
  const choose = (name) => {
    lastTab = name;
    setTab(name);
  };
  const mark = async () => {
    await actions.mark(flow);
    reload();
  };
  const isHttp = Boolean(flow.method);
  return html`
    <aside class="detail" aria-label=${`Flow ${flow.id}`}>
      <header class="detail-head">
        <${Close} close=${actions.close} />
        <h2><span class="method">${flow.method || flow.kind}</span> <span class="wrap">${flow.url}</span></h2>
        <p class="facts">
          <strong class=${`status ${flow.failure ? 'broken' : statusClass(flow.status)}`}>${flow.status
            ? `${flow.status} ${flow.reason || ''}` : flow.failure ? 'no answer' : flow.kind}</strong>
          <span>${duration(flow.duration_ms)}</span><span>${size(flow.response_size)}</span><span>${moment(flow.started)}</span>
          <${Marks} row=${flow} />
        </p>
        <div class="actions">
          ${isHttp ? html`<button onClick=${() => actions.replay(id)} title="r">Replay</button>
            <button onClick=${() => actions.edit(id)} title="e">Edit and replay</button>
            <button onClick=${() => actions.curl(id)} title="c">Copy as curl</button>` : null}
          <button onClick=${mark} title="m" aria-pressed=${Boolean(flow.mark)}>${flow.mark ? '★ Marked' : '☆ Mark'}</button>
          <button onClick=${actions.compare} title="x" aria-pressed=${compared === id}>${compared && compared !== id
            ? `Compare with ${compared}` : 'Compare'}</button>
        </div>
      </header>
      <${Tabs} tabs=${tabs} chosen=${chosen} onChoose=${choose} label="Parts of the flow">
        ${chosen === 'summary' ? html`<${Summary} flow=${flow} onComment=${(row) => { actions.changed(row); reload(); }} />` : null}
        ${chosen === 'request' ? html`<${FlowPart} key="request" flow=${flow} side="request" />` : null}
        ${chosen === 'response' ? html`<${FlowPart} key="response" flow=${flow} side="response" />` : null}
        ${chosen === 'messages' ? html`<${FlowMessages} flow=${flow} />` : null}
        ${chosen === 'upstream' ? html`<${FlowAttempts} flow=${flow} />` : null}
      </${Tabs}>
    </aside>
  `;
}

function Close({ close }) {
  return html`<button class="plain close" aria-label="Close the flow" title="Esc" onClick=${close}>×</button>`;
}

function tabsOf(flow) {
  const messages = flow.messages_total || flow.messages || 0;
  return [
    { name: 'summary', label: 'Summary' },
    ...(flow.method ? [{ name: 'request', label: 'Request' }, { name: 'response', label: 'Response' }] : []),
    ...(messages || !flow.method ? [{ name: 'messages', label: 'Messages', count: messages }] : []),
    { name: 'upstream', label: 'Upstream', count: flow.attempts.length },
  ];
}

function Summary({ flow, onComment }) {
  const notes = Object.entries(flow.notes || {});
  return html`
    ${flow.failure ? html`<div class="verdict problem"><h3>${words(flow.failure)}</h3>
      <p>${[flow.side && `On the ${flow.side} side.`, flow.detail].filter(Boolean).join(' ')}</p></div>` : null}
    <${Timing} flow=${flow} />
    ${notes.length ? html`<h3>Why it went this way</h3><${Pairs} pairs=${notes.map(([name, value]) => [words(name), String(value)])} />` : null}
    <h3>Who and where</h3>
    <${Pairs} pairs=${[
      ['Client', flow.client], ['User', flow.user], ['Came in at', flow.local], ['Listener', flow.listener], ['Route', flow.route],
      ['TLS', flow.tls], ['Version', flow.method && flow.version ? `HTTP/${flow.version === 1 ? '1.1' : flow.version}` : ''],
      ['Flow', `${flow.id} (exchange ${flow.exchange})`], ['Inside', flow.parent],
      ['Held as', flow.held ? html`<a href=${link('desk', [flow.held])}>${flow.held}</a>` : ''],
      ['Repeats', flow.replay_of ? html`<a href=${link('flows', [flow.replay_of])}>flow ${flow.replay_of}</a>` : ''],
      ['Sent by the client', flow.request ? size(flow.request.size) : ''], ['Sent back', flow.response ? size(flow.response.size) : ''],
      ['Messages', flow.messages_total ? count(flow.messages_total, 'message') : ''],
    ]} />
    <${Comment} flow=${flow} onDone=${onComment} />
  `;
}

function Comment({ flow, onDone }) {
  const [text, setText] = useState(flow.comment || '');
  const save = (event) => {
    event.preventDefault();
    attempt(() => send('PUT', ['flows', flow.id, 'comment'], { comment: text }).then(onDone));
  };
  return html`
    <form class="comment" onSubmit=${save}>
      <label for="comment">Comment</label>
      <textarea id="comment" rows="2" value=${text} placeholder="What should the next reader know?"
        onInput=${(event) => setText(event.target.value)}
        onKeyDown=${(event) => event.key === 'Enter' && (event.ctrlKey || event.metaKey) && save(event)}></textarea>
      <button disabled=${text === (flow.comment || '')}>Keep</button>
    </form>
  `;
}

const words = (name) => {
  const text = name.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
};
