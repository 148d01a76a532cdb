// Where a query is written: completed while one types, and told which word is wrong.

import { get } from './api.js';
import { classes, html, useEffect, useId, useRef, useState } from './html.js';

const REST_MS = 120;

// The console counts characters, the browser UTF-16 units.
const toCharacters = (text, units) => [...text.slice(0, units)].length;
const toUnits = (text, characters) => [...text].slice(0, characters).join('').length;

/** `value` is the query that applies, `problem` the Refusal of it, if it was refused. `input` is given the field. */
export function QueryBar({ value, problem, onSearch, input, children }) {
  const [text, setText] = useState(value);
  const [offered, setOffered] = useState([]);
  const [at, setAt] = useState(-1);
  const field = useRef(null);
  const timer = useRef(null);
  const list = useId();

  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (input) input.current = field.current;
    return () => clearTimeout(timer.current);
  }, []);

  const close = () => {
    clearTimeout(timer.current);
    setOffered([]);
    setAt(-1);
  };
  const offer = (now) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(async () => {
      if (!field.current) return;
      const cursor = toCharacters(now, field.current.selectionStart);
      const answer = await get(['flows', 'complete'], { text: now, cursor }).catch(() => ({ completions: [] }));
      if (field.current?.value !== now || document.activeElement !== field.current) return;
      setOffered(answer.completions.slice(0, 12));
      setAt(-1);
    }, REST_MS);
  };
  const take = (completion) => {
    const from = toUnits(text, completion.from);
    const changed = text.slice(0, from) + completion.text + text.slice(toUnits(text, completion.to));
    const cursor = from + completion.text.length;
    // At once, and not when it is drawn: who types on must find the cursor where it belongs.
    field.current.value = changed;
    field.current.focus();
    field.current.setSelectionRange(cursor, cursor);
    setText(changed);
    close();
    if (completion.text.endsWith(':')) offer(changed);
  };
  const search = (query) => {
    close();
    onSearch(query.trim());
  };
  const pressed = (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps && offered.length) {
      setAt((at + steps[event.key] + offered.length + (at < 0 && event.key === 'ArrowUp' ? 1 : 0)) % offered.length);
    } else if ((event.key === 'Enter' || event.key === 'Tab') && at >= 0) {
      take(offered[at]);
    } else if (event.key === 'Enter') {
      search(text);
      field.current.blur();
    } else if (event.key === 'Escape') {
      if (offered.length) close();
      else field.current.blur();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <div class="query" role="search">
      <div class="query-line">
        <div class="combo">
          <input ref=${field} type="text" class=${classes('code', problem && 'wrong')} value=${text} spellcheck=${false}
            autocomplete="off" autocapitalize="off" placeholder="Search: host:shop.example status:>=500 age:<10m"
            aria-label="Query" role="combobox" aria-autocomplete="list" aria-expanded=${offered.length > 0} aria-controls=${list}
            aria-activedescendant=${at >= 0 ? `${list}-${at}` : null} aria-invalid=${Boolean(problem)}
            onInput=${(event) => { setText(event.target.value); offer(event.target.value); }}
            onFocus=${() => text && offer(text)} onBlur=${close} onKeyDown=${pressed} />
          ${text ? html`<button class="plain clear" aria-label="Clear the query" onClick=${() => { setText(''); search(''); }}>×</button>` : null}
          <ul id=${list} class="offers" role="listbox" aria-label="Completions" hidden=${!offered.length}>
            ${offered.map(
              (one, index) => html`<li key=${one.text} id=${`${list}-${index}`} role="option" aria-selected=${index === at}
                onMouseDown=${(event) => { event.preventDefault(); take(one); }}><code>${one.text}</code><span>${one.about}</span></li>`,
            )}
          </ul>
        </div>
        ${children}
      </div>
      ${problem ? html`<${Wrong} text=${value} problem=${problem} />` : null}
    </div>
  `;
}

// The query again with the word that was not understood marked, and why.
function Wrong({ text, problem }) {
  const at = problem.data?.at;
  if (!at) return html`<p class="query-problem" role="alert">${problem.message}</p>`;
  const from = toUnits(text, at.position);
  const to = Math.max(toUnits(text, at.position + at.length), from);
  const word = text.slice(from, to) || ' ';
  return html`<p class="query-problem" role="alert">
    <code>${text.slice(0, from)}<mark>${word}</mark>${text.slice(to)}</code><span>${problem.message}</span></p>`;
}
