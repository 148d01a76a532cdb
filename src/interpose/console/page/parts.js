// Small parts that every view is made of.

import { classes, html, useEffect, useLayoutEffect, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { notice } from './notices.js';
import { store } from './store.js';

/** What to say where nothing is, and what to do next. */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

/** A line to type somewhere else, with a button that copies it. */
export function CommandLine({ text }) {
  return html`<div class="command"><code>${text}</code><${CopyButton} text=${text} /></div>`;
}

export function CopyButton({ text, label = 'Copy' }) {
  return html`<button type="button" class="small" onClick=${() => copy(text)}>${label}</button>`;
}

/** Put a text on the clipboard, and say so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    notice('Copied.');
  } catch {
    notice('The browser does not let this page copy. Select the text and copy it yourself.', true);
  }
}

/** A modal dialog; the browser keeps the focus in it and gives it back. */
export function Dialog({ title, onClose, wide = false, children }) {
  const element = useRef(null);
  // Before the next key is taken, which belongs into the dialog already.
  useLayoutEffect(() => element.current.showModal(), []);
  useKeys([{ keys: ['Escape'], evenTyping: true, inDialog: true, run: onClose }]);
  return html`
    <dialog ref=${element} class=${classes('dialog', wide && 'wide')} aria-label=${title}
      onCancel=${(event) => { event.preventDefault(); onClose(); }}
      onClick=${(event) => { if (event.target === element.current) onClose(); }}>
      <div class="dialog-box">
        <header><h2>${title}</h2><button class="plain" aria-label="Close" onClick=${onClose}>×</button></header>
        ${children}
      </div>
    </dialog>
  `;
}

/** Tabs over one panel. `tabs`: [{name, label, count}]. */
export function Tabs({ tabs, chosen, onChoose, label, children }) {
  const list = useRef(null);
  const step = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const at = tabs.findIndex((tab) => tab.name === chosen);
    const next = (at + by + tabs.length) % tabs.length;
    event.preventDefault();
    onChoose(tabs[next].name);
    list.current.children[next].focus();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${step}>
      ${tabs.map(
        (tab) => html`<button key=${tab.name} role="tab" aria-selected=${tab.name === chosen}
          tabindex=${tab.name === chosen ? 0 : -1} onClick=${() => onChoose(tab.name)}>
          ${tab.label}${tab.count ? html`<span class="count">${tab.count.toLocaleString('en')}</span>` : null}
        </button>`,
      )}
    </div>
    <div class="panel" role="tabpanel">${children}</div>
  `;
}

/** Pairs of a name and a value. Values without anything to say are left out. */
export function Pairs({ pairs }) {
  const told = pairs.filter(([, value]) => value !== '' && value !== null && value !== undefined && value !== false);
  return html`<dl class="pairs">${told.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** A choice among few, as buttons that belong together. `options`: [[value, label]]. */
export const Choice = ({ label, options, value, onChange }) => html`
  <div class="choice" role="radiogroup" aria-label=${label}>
    ${options.map(
      ([name, text]) => html`<button type="button" key=${name} role="radio" aria-checked=${name === value}
        onClick=${() => onChange(name)}>${text}</button>`,
    )}
  </div>
`;

// One clock for all that counts, which stands still while nothing does.
const seconds = store(Date.now() / 1000);
let timer = null;
let counting = 0;

/** The time in seconds, drawn anew each second while it is wanted. */
export function useNow(isOn = true) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!isOn) return undefined;
    counting += 1;
    timer ??= setInterval(() => seconds.set(Date.now() / 1000), 1000);
    const leave = seconds.follow(setNow);
    return () => {
      leave();
      counting -= 1;
      if (counting) return;
      clearInterval(timer);
      timer = null;
    };
  }, [isOn]);
  return now;
}

/** What `load(signal)` gives, loaded anew when one of `inputs` changes: {value, problem, reload}. */
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ value: null, problem: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    load(stop.signal).then(
      (value) => stop.signal.aborted || setState({ value, problem: null }),
      (problem) => stop.signal.aborted || setState((before) => ({ value: before.value, problem })),
    );
    return () => stop.abort();
  }, [...inputs, turn]);
  return { ...state, reload: () => setTurn((n) => n + 1) };
}
