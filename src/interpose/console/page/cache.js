// The cache: what is stored of answers, for how long it is fresh and why, and making it forget.

import { get, send } from './api.js';
import { HitRatio, Hottest } from './cache_numbers.js';
import { notice } from './notices.js';
import { classes, html, useEffect, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { CommandLine, Dialog, Empty, useLoaded } from './parts.js';
import { go } from './route.js';
import { count, moment, size, span } from './words.js';

const LIMIT = 200;

export default function Cache({ place }) {
  const pattern = place.query.q || '*';
  const [text, setText] = useState(pattern === '*' ? '' : pattern);
  const [purging, setPurging] = useState('');
  const [isBySize, setBySize] = useState(false);
  const field = useRef(null);
  const { value, problem, reload } = useLoaded((signal) => get('cache', { pattern, limit: LIMIT }, signal), [pattern]);
  useEffect(() => setText(pattern === '*' ? '' : pattern), [pattern]);
  const search = (event) => {
    event.preventDefault();
    const wanted = text.trim();
    if ((wanted || '*') === pattern) reload();
    else go('cache', [], { q: wanted });
  };
  useKeys([{ keys: ['/'], about: 'Search', run: () => field.current?.focus() }], !purging);
  if (problem?.status === 404) {
    return html`<section class="page"><${Empty} title="This instance has no cache"><p>Give it one, in memory or with a directory of its own:</p>
      <${CommandLine} text="interpose proxy --cache 256MiB" /></${Empty}></section>`;
  }
  const stored = value?.stored || [];
  const rows = isBySize ? [...stored].sort((one, other) => other.bytes - one.bytes) : stored;
  const isWhole = rows.length < LIMIT;
  return html`
    <section class="page cache" aria-label="Cache">
      <form class="query-line" role="search" onSubmit=${search}>
        <input ref=${field} class=${classes('code', problem && 'wrong')} value=${text} spellcheck=${false} aria-label="Which answers"
          placeholder="A URL, its beginning with *, host:NAME or tag:NAME" onInput=${(event) => setText(event.target.value)} />
        <button>Search</button>
        <button type="button" class="danger" disabled=${!rows.length} onClick=${() => setPurging(pattern)}>Purge…</button>
      </form>
      ${pattern === '*' ? html`<div class="charts"><${HitRatio} /><${Hottest} onChoose=${(url) => go('cache', [], { q: url })} /></div>` : null}
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${value ? html`<p class="dim">${isWhole ? count(rows.length, 'answer') : `The first ${count(rows.length, 'answer')}`}${rows.length ? `, ${size(rows.reduce((sum, row) => sum + row.bytes, 0))}` : ''}</p>` : null}
      ${rows.length > 1 ? html`<label class="switch"><input type="checkbox" checked=${isBySize} onChange=${(event) => setBySize(event.target.checked)} /> The largest first</label>` : null}
      ${rows.length ? html`<ul class="stored">${rows.map((row) => html`<${Stored} key=${`${row.cache} ${row.key} ${row.stored_at}`} row=${row} onPurge=${setPurging} />`)}</ul>` : null}
      ${value && !rows.length && !problem ? html`<${Empty} title=${pattern === '*' ? 'Nothing is stored yet' : 'Nothing stored is meant by this'}>
        <p>What may be stored is, once it was asked for. A page's Cache-Control says whether it may.</p>
        <p>There is a cache when Interpose was started with <code>--cache 256MiB</code>, or its configuration has a <code>[[cache]]</code>.</p></${Empty}>` : null}
      ${purging ? html`<${Purge} pattern=${purging} known=${purging === pattern && isWhole ? rows.length : purging === pattern ? null : 1}
        onClose=${() => setPurging('')} onDone=${() => { setPurging(''); reload(); }} />` : null}
    </section>
  `;
}

const urlOf = (row) => row.key.replace(/^GET /, '');

function Stored({ row, onPurge }) {
  const [isOpen, setOpen] = useState(false);
  const url = urlOf(row);
  return html`
    <li class=${row.fresh_s > 0 ? 'fresh' : 'stale'}>
      <div class="stored-line">
        <button class="plain stored-url code" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${url}</button>
        <span class="dim">${row.status} · ${size(row.bytes)}</span>
        <span class=${row.fresh_s > 0 ? 'tag fresh' : 'tag stale'}>${row.fresh_s > 0 ? `fresh for ${span(row.fresh_s)}` : 'stale'}</span>
      </div>
      ${isOpen ? html`<${Story} row=${row} url=${url} onPurge=${onPurge} />` : null}
    </li>
  `;
}

function Story({ row, url, onPurge }) {
  const { value } = useLoaded((signal) => get(['cache', 'show'], { url }, signal), [url]);
  const miss = value?.last_miss;
  return html`
    <div class="story">
      <p>${capital(row.freshness)}.</p>
      <p class="dim">Stored ${moment(row.stored_at)}${row.varies_on.length ? `, for one value of ${row.varies_on.join(', ')}` : ''}${row.tags.length ? `, with the tags ${row.tags.join(', ')}` : ''}.</p>
      ${miss ? html`<p class="dim">Last asked of the server ${span(miss.seconds_ago)} ago: ${miss.why}.</p>` : null}
      <button class="small danger" onClick=${() => onPurge(url)}>Purge this URL…</button>
    </div>
  `;
}

function Purge({ pattern, known, onClose, onDone }) {
  const [isSoft, setSoft] = useState(false);
  const [problem, setProblem] = useState('');
  const [isBusy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const { purged } = await send('POST', ['cache', 'purge'], { pattern, soft: isSoft });
      notice(`${count(purged, 'answer')} ${isSoft ? 'made stale' : 'forgotten'}.`);
      onDone();
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
    }
  };
  return html`
    <${Dialog} title="Purge" onClose=${onClose}>
      <form onSubmit=${submit}>
        <p>${pattern === '*' ? 'Everything that is stored' : html`What is stored and meant by <span class="code wrap">${pattern}</span>`}${known ? `: ${count(known, 'answer')}` : ''}.</p>
        <label class="switch"><input type="checkbox" checked=${isSoft} onChange=${(event) => setSoft(event.target.checked)} />
          Keep it as stale: to be validated, or to stand in for a server that fails</label>
        ${problem ? html`<p class="field-problem" role="alert">${problem}</p>` : null}
        <footer class="dialog-actions"><button type="button" onClick=${onClose}>Cancel</button>
          <button class="danger" disabled=${isBusy}>${isSoft ? 'Make stale' : 'Forget'}</button></footer>
      </form>
    </${Dialog}>
  `;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
