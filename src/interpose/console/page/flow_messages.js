// A conversation: the messages of a WebSocket, the pieces of a stream, the datagrams of a session.

import { get } from './api.js';
import { attempt } from './notices.js';
import { dump, fromBase64 } from './hex.js';
import { Choice } from './parts.js';
import { classes, html, useEffect, useState } from './html.js';
import { count, duration, size } from './words.js';

const CHUNK = 200;
const SHORT = 2000;

export function FlowMessages({ flow }) {
  const [messages, setMessages] = useState([]);
  const [more, setMore] = useState(true);
  const [shape, setShape] = useState('text');
  const read = (after, before) => attempt(async () => {
    const page = await get(['flows', flow.id, 'messages'], { after, limit: CHUNK });
    setMessages(before.concat(page.messages));
    setMore(page.more);
  });
  useEffect(() => {
    read(undefined, []);
  }, [flow.id]);
  if (!messages.length) return html`<p class="dim pad">${more ? 'Reading…' : 'No message was kept.'}</p>`;
  return html`
    <div class="content-bar">
      <${Choice} label="Show as" value=${shape} onChange=${setShape} options=${[['text', 'Text'], ['hex', 'Hex']]} />
      <span class="dim">${count(flow.messages_total || messages.length, 'message')}</span>
    </div>
    <ol class="messages">
      ${messages.map((one) => html`<${Message} key=${one.n} message=${one} shape=${shape} />`)}
    </ol>
    ${more ? html`<button onClick=${() => read(messages.at(-1).n, messages)}>Show more</button>` : null}
  `;
}

function Message({ message, shape }) {
  const [isWhole, setWhole] = useState(false);
  const isDump = shape === 'hex' || message.text === null;
  const text = isDump ? dump(message.text === null ? fromBase64(message.base64) : new TextEncoder().encode(message.text)) : message.text;
  const isLong = text.length > SHORT && !isWhole;
  return html`
    <li class=${classes('message', message.inbound ? 'inbound' : 'outbound')}>
      <p class="dim">${message.inbound ? 'client →' : '← server'} · ${duration(message.at_ms)} · ${size(message.size)}
        ${message.kind ? ` · ${message.kind}` : ''}${message.cut ? ' · only the beginning was kept' : ''}</p>
      ${text ? html`<pre class=${classes('content', isDump && 'dump')}>${isLong ? text.slice(0, SHORT) : text}</pre>` : null}
      ${isLong ? html`<button class="small" onClick=${() => setWhole(true)}>Show all</button>` : null}
    </li>
  `;
}
