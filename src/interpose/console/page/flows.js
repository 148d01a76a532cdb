// The flows: what has passed, newest first, and what one of them was.

import { attempt, announce, notice } from './notices.js';
import { getText, send } from './api.js';
import { FlowCompare } from './flow_compare.js';
import { FlowDetail } from './flow_detail.js';
import { FlowReplay } from './flow_replay.js';
import { FlowRows } from './flow_rows.js';
import { FlowTable } from './flow_table.js';
import { follow, followGaps } from './events.js';
import { go, link } from './route.js';
import { classes, html, useEffect, useReducer, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { CommandLine, copy, Empty } from './parts.js';
import { QueryBar } from './query_bar.js';
import { count } from './words.js';
import { exampleLine } from './session.js';

/** `place` is the route: #/flows/ID, #/flows/compare/A/B, with ?q=. */
export default function Flows({ place }) {
  const [version, drawAgain] = useReducer((n) => n + 1, 0);
  const [compared, setCompared] = useState(null);
  const [replaying, setReplaying] = useState(null);
  const field = useRef(null);
  const query = place.query.q || '';
  const isComparing = place.parts[0] === 'compare';
  const chosen = isComparing ? null : Number(place.parts[0]) || null;
  const source = useSource(drawAgain);

  useEffect(() => {
    if (source) source.search(query);
  }, [source, query]);

  const choose = (id, quietly = true) => go('flows', id ? [id] : [], { q: query }, quietly);
  const step = (by) => {
    const at = chosen ? source.positionOf(chosen) : -1;
    const row = at < 0 ? source.at(0) || source.rows[0] : source.at(at + by);
    if (row) choose(row.id);
  };
  const compare = () => {
    if (!chosen) return;
    if (compared && compared !== chosen) {
      go('flows', ['compare', compared, chosen], { q: query });
      setCompared(null);
    } else if (compared === chosen) {
      setCompared(null);
    } else {
      setCompared(chosen);
      notice('Now choose the flow to compare it with, and press x.');
    }
  };
  const replay = (id) => attempt(async () => announceReplay(await send('POST', ['flows', id, 'replay'], {})));
  const mark = (row) => attempt(() => send('POST', ['flows', row.id, 'mark'], { mark: row.mark ? '' : 'star' })
    .then((marked) => source.add(marked)));
  const chosenRow = () => source.rows.find((row) => row.id === chosen);

  useKeys([
    { keys: ['j', 'ArrowDown'], about: 'Next flow', run: () => step(1) },
    { keys: ['k', 'ArrowUp'], about: 'Previous flow', run: () => step(-1) },
    { keys: ['Enter'], about: 'Read the flow', run: () => document.querySelector('.detail [role=tab]')?.focus() },
    { keys: ['/'], about: 'Write a query', run: () => field.current.focus() },
    { keys: ['g'], about: 'To the newest', run: toTop },
    { keys: ['m'], about: 'Mark, or take the mark away', run: () => chosenRow() && mark(chosenRow()) },
    { keys: ['c'], about: 'Copy as a curl command', run: () => chosen && copyCurl(chosen) },
    { keys: ['r'], about: 'Send the request again', run: () => chosen && replay(chosen) },
    { keys: ['e'], about: 'Edit the request and send it', run: () => chosen && setReplaying(chosen) },
    { keys: ['x'], about: 'Compare with another', run: compare },
    { keys: ['Escape'], about: 'Close', run: () => choose(null) },
  ], !replaying);

  if (!source) return null;
  if (isComparing) return html`<${FlowCompare} first=${place.parts[1]} second=${place.parts[2]} back=${link('flows', [], { q: query })} />`;
  const actions = { replay, mark, compare, edit: setReplaying, curl: copyCurl, close: () => choose(null), changed: (row) => source.add(row) };
  return html`
    <div class=${classes('split', chosen && 'open')}>
      <section class="list" aria-label="Flows">
        <${QueryBar} value=${query} problem=${source.problem?.status === 422 ? source.problem : null} input=${field}
          onSearch=${(q) => (q === query ? source.search(q) : go('flows', [], { q }))}>
          <span class="total">${source.isLoading ? 'Searching…' : `${source.isExact ? '' : 'about '}${count(source.total, 'flow')}`}</span>
        </${QueryBar}>
        ${source.problem && source.problem.status !== 422 ? html`<p class="banner" role="alert">${source.problem.message}
          <button class="small" onClick=${() => source.search(query)}>Try again</button></p>` : null}
        <div class="table-box">
          ${source.pending ? html`<button class="pill" onClick=${toTop}>↑ ${source.pending.toLocaleString('en')} new</button>` : null}
          <${FlowTable} source=${source} version=${version} chosen=${chosen} compared=${compared}
            onChoose=${choose} onOpen=${(id) => choose(id, false)} empty=${html`<${NoFlows} query=${query} hasProblem=${Boolean(source.problem)} />`} />
        </div>
      </section>
      ${chosen ? html`<${FlowDetail} key=${chosen} id=${chosen} actions=${actions} compared=${compared} />` : null}
      ${replaying ? html`<${FlowReplay} id=${replaying} onClose=${() => setReplaying(null)} onDone=${announceReplay} />` : null}
    </div>
  `;
}

// The rows outlive the view, so that coming back to it shows them at once.
let kept = null;

function useSource(drawAgain) {
  const [source, setSource] = useState(null);
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        drawAgain();
      });
    };
    kept ||= new FlowRows(draw);
    kept.changed = draw;
    setSource(kept);
    const stops = [follow('flow', (row) => kept.add(row)), followGaps(() => kept.isFollowing && kept.search(kept.query))];
    return () => {
      stops.forEach((stop) => stop());
      cancelAnimationFrame(frame);
      kept.close();
      kept.changed = () => {};
    };
  }, []);
  return source;
}

function toTop() {
  const table = document.querySelector('.flow-table');
  table.scrollTop = 0;
  table.focus();
}

const copyCurl = (id) => attempt(async () => copy(await getText(['flows', id, 'curl'])));

function announceReplay(answer) {
  const missing = answer.missing?.length ? ` It went without ${answer.missing.join(', ')}: the journal does not keep secrets.` : '';
  const why = answer.detail || (answer.failure || 'nobody knows why').replaceAll('_', ' ');
  const text = answer.status ? `Sent again; the answer was ${answer.status}.${missing}` : `Sent again; no answer came: ${why}.${missing}`;
  notice(text, !answer.status);
  announce(text);
}

function NoFlows({ query, hasProblem }) {
  if (hasProblem) return null;
  if (query) {
    return html`<${Empty} title="Nothing matches"><p>No flow that is kept is meant by this query.</p>
      <p><a href=${link('flows')}>Show all flows</a></p></${Empty}>`;
  }
  return html`<${Empty} title="Nothing has passed yet">
    <p>Send something through, and it appears here while it happens:</p><${CommandLine} text=${exampleLine()} /></${Empty}>`;
}
