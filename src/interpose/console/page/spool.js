// The spool: files on their way, which can be looked at, edited, released and dropped.

import { address, get, getOctets, send } from './api.js';
import { follow, followGaps } from './events.js';
import { fromHex, toHex } from './hex.js';
import { HexDump } from './content_view.js';
import { attempt, notice } from './notices.js';
import { classes, html, useEffect, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { Choice, CommandLine, Empty, Pairs, useNow } from './parts.js';
import { go, link } from './route.js';
import { moment, size, span } from './words.js';

const EDITABLE = ['received', 'held', 'approved', 'failed'];
const RELEASABLE = ['held', 'received', 'failed'];
const DROPPABLE = ['received', 'held', 'approved', 'failed'];
const MOST_OCTETS = 2 << 20;

/** #/spool/ID. */
export default function Spool({ place }) {
  const [state, setState] = useState({ items: [], problem: null, isLoaded: false });
  const chosen = place.parts[0] || null;
  const load = () => get('spool').then(
    (answer) => setState({ items: newestFirst(answer.items), problem: null, isLoaded: true }),
    (problem) => setState((before) => ({ ...before, problem, isLoaded: true })),
  );
  useEffect(() => {
    load();
    const stops = [followGaps(load), follow('spool', (item) => setState((before) => ({
      ...before, items: newestFirst([item, ...before.items.filter((one) => one.id !== item.id)]),
    })))];
    return () => stops.forEach((stop) => stop());
  }, []);
  const choose = (id) => go('spool', id ? [id] : [], {}, true);
  const step = (by) => {
    const at = state.items.findIndex((item) => item.id === chosen);
    const item = at < 0 ? state.items[0] : state.items[at + by];
    if (item) choose(item.id);
  };
  useKeys([
    { keys: ['j', 'ArrowDown'], about: 'Next file', run: () => step(1) },
    { keys: ['k', 'ArrowUp'], about: 'Previous file', run: () => step(-1) },
    { keys: ['Escape'], about: 'Close', run: () => choose(null) },
  ]);
  const item = state.items.find((one) => one.id === chosen);
  if (state.problem?.status === 404) return html`<section class="page"><${NoSpool} /></section>`;
  return html`
    <div class=${classes('split', 'desk', item && 'open')}>
      <section class="list" aria-label="Files">
        ${state.problem ? html`<p class="banner" role="alert">${state.problem.message} <button class="small" onClick=${load}>Try again</button></p>` : null}
        <ol class="holds">${state.items.map((one) => html`<${ItemRow} key=${one.id} item=${one} isChosen=${one.id === chosen} />`)}</ol>
        ${state.isLoaded && !state.items.length && !state.problem ? html`<${NoSpool} />` : null}
      </section>
      ${item ? html`<${ItemDetail} key=${item.id} item=${item} onChange=${load} onClose=${() => choose(null)} />` : null}
    </div>
  `;
}

const newestFirst = (items) => [...items].sort((a, b) => (b.received_at || 0) - (a.received_at || 0));

function ItemRow({ item, isChosen }) {
  const isDelayed = item.state === 'received' && item.due_at;
  const now = useNow(Boolean(isDelayed));
  return html`
    <li><a class=${classes('hold', item.state)} href=${link('spool', [item.id])} aria-current=${isChosen ? 'true' : null}>
      <span class="hold-title"><b class="wrap">${item.name || item.id}</b></span>
      <span class="hold-facts"><span class="dim">${[size(item.size || 0), item.client, item.received_at && moment(item.received_at)].filter(Boolean).join(' · ')}</span>
        <span class="grow"></span>${isDelayed && item.due_at > now ? html`<span class="dim">sent in ${span(item.due_at - now)}</span>` : null}
        <span class=${`tag ${item.state}`}>${item.state}</span></span></a></li>
  `;
}

function ItemDetail({ item, onChange, onClose }) {
  // What is released is what was looked at: the spool refuses when it has changed since.
  const seen = useRef('');
  const act = (action, text) => attempt(async () => {
    await send('POST', ['spool', item.id, action], action === 'release' && seen.current ? { sha256: seen.current } : {});
    notice(text);
    onChange();
  });
  const canRelease = RELEASABLE.includes(item.state);
  const canDrop = DROPPABLE.includes(item.state);
  useKeys([
    { keys: ['r'], about: 'Release', run: () => canRelease && act('release', 'Released.') },
    { keys: ['d'], about: 'Drop', run: () => canDrop && act('drop', 'Dropped. Its files stay.') },
  ]);
  return html`
    <aside class="detail" aria-label=${item.name || item.id}>
      <header class="detail-head">
        <button class="plain close" aria-label="Close the file" title="Esc" onClick=${onClose}>×</button>
        <h2 class="wrap">${item.name || item.id}</h2>
        <p class="facts"><strong>${item.state}</strong><span>${size(item.size || 0)}</span>${item.problem ? html`<span class="bad wrap">${item.problem}</span>` : null}</p>
        <div class="actions">
          ${canRelease ? html`<button class="primary" title="r" onClick=${() => act('release', 'Released.')}>${item.state === 'failed' ? 'Try again' : 'Release'}</button>` : null}
          ${canDrop ? html`<button class="danger" title="d" onClick=${() => act('drop', 'Dropped. Its files stay.')}>Drop</button>` : null}
          <a class="button" href=${address(['spool', item.id, 'content'])} download>Download</a>
        </div>
      </header>
      <div class="panel">
        <${ItemContent} item=${item} seen=${seen} onChange=${onChange} />
        <h3>What is known</h3>
        <${Pairs} pairs=${[
          ['Item', item.id], ['From', item.client], ['Server', item.server], ['Received', item.received_at && moment(item.received_at)], ['SHA-256', item.sha256],
          ['Edits', item.edits || ''], ['Tries', item.tries || ''], ['Next try', item.next_try_at && moment(item.next_try_at)],
          ['Sent', item.sent_sha256 && `${size(item.sent_size)}, ${item.sent_sha256 === item.sha256 ? 'as received' : 'as edited'}`],
        ]} />
        <ol class="audit">${(item.events || []).map((event, index) => html`<li key=${index}><time>${moment(event.at)}</time> <b>${event.state}</b> ${event.why || ''}</li>`)}</ol>
      </div>
    </aside>
  `;
}

function ItemContent({ item, seen, onChange }) {
  const [read, setRead] = useState(null);
  const [shape, setShape] = useState('text');
  const [text, setText] = useState('');
  const canEdit = EDITABLE.includes(item.state) && read && !read.isCut && read.octets.length <= MOST_OCTETS;
  const show = (loaded) => {
    setRead(loaded);
    seen.current = loaded.sha256;
    setShape(loaded.text === null ? 'hex' : 'text');
    setText(loaded.text ?? toHex(loaded.octets.subarray(0, MOST_OCTETS)));
  };
  const load = () => attempt(async () => show(await contentOf(item)));
  useEffect(() => {
    if (item.state !== 'receiving') load();
  }, [item.id, item.edits, item.state === 'receiving']);
  if (!read) return html`<p class="dim">${item.state === 'receiving' ? 'It is still coming.' : 'Reading…'}</p>`;
  const before = shape === 'text' ? read.text : toHex(read.octets.subarray(0, MOST_OCTETS));
  const save = () => attempt(async () => {
    const octets = shape === 'text' ? new TextEncoder().encode(text) : fromHex(text);
    try {
      await send('PUT', ['spool', item.id, 'content'], octets, { 'If-Match': `"${read.sha256}"` });
      notice('Saved: this is what will be sent.');
    } catch (error) {
      if (error.status !== 412) throw error;
      throw new Error('Somebody else changed this file, here or in its directory. Copy your text, then read it anew.');
    }
    onChange();
    await load();
  });
  const reshape = (to) => {
    setShape(to);
    setText(to === 'text' ? read.text : toHex(read.octets.subarray(0, MOST_OCTETS)));
  };
  return html`
    <div class="content-bar"><h3>Content</h3>
      ${read.text !== null ? html`<${Choice} label="Show as" value=${shape} onChange=${reshape} options=${[['text', 'Text'], ['hex', 'Hex']]} />` : null}
      <button class="small" onClick=${load}>Read anew</button></div>
    ${canEdit ? html`<textarea class="code file" rows="14" spellcheck=${false} aria-label="Content" value=${text} onInput=${(event) => setText(event.target.value)}></textarea>
      ${text !== before ? html`<div class="actions"><button class="primary" onClick=${save}>Save</button><button onClick=${() => setText(before)}>Undo my edit</button></div>` : null}`
      : read.text !== null && shape === 'text' ? html`<pre class="content" tabindex="0">${read.text.slice(0, 200_000)}</pre>` : html`<${HexDump} octets=${read.octets} isCut=${read.isCut} />`}
  `;
}

async function contentOf(item) {
  const { octets, isCut, tag } = await getOctets(['spool', item.id, 'content'], { limit: MOST_OCTETS });
  let text = null;
  try {
    const decoded = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
    if (!decoded.includes('\0')) text = decoded;
  } catch {
    // Not a text: octets then.
  }
  return { octets, isCut, text, sha256: tag || item.sha256 };
}

const NoSpool = () => html`<${Empty} title="No file on its way">
  <p>A spool stores files that clients send over TCP, lets you look at them and change them, and then sends them on:</p>
  <${CommandLine} text="interpose spool --to 127.0.0.1:9001 --hold" />
  <p>Then send one:</p><${CommandLine} text="interpose send report.txt 127.0.0.1:9000" /></${Empty}>`;
