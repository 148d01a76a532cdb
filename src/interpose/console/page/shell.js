// What is around every view: where one is, how things stand, and how the page behaves.

import { entitle } from './alerts.js';
import { queue } from './desk_queue.js';
import { liveness } from './events.js';
import { html, useEffect, useState } from './html.js';
import { bindingsNow, useKeys } from './keys.js';
import { Notices } from './notices.js';
import { Dialog } from './parts.js';
import { go, link, route } from './route.js';
import { instance } from './session.js';
import { Settings } from './settings.js';
import { useStore } from './store.js';
import { VIEWS } from './views.js';

export function Shell() {
  const place = useStore(route);
  const { waiting } = useStore(queue);
  const { name } = useStore(instance);
  const [dialog, setDialog] = useState('');
  const view = VIEWS.find((one) => one.name === place.view) || VIEWS[0];
  useEffect(() => entitle(waiting, name), [waiting, name]);
  useEffect(() => document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }), [view]);
  useKeys([
    { keys: ['?'], about: 'These keys', run: () => setDialog('keys') },
    ...VIEWS.map((one, index) => ({ keys: [String(index + 1)], about: one.label, run: () => go(one.name) })),
  ]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>To the content</a>
    <header class="top">
      <a class="brand" href=${link('flows')}><i aria-hidden="true"></i><span>${name || 'Interpose'}</span></a>
      <nav aria-label="Views">
        ${VIEWS.map((one) => html`<a key=${one.name} href=${link(one.name)} aria-current=${one === view ? 'page' : null} title=${one.about}>${one.label}
          ${one.name === 'desk' && waiting ? html`<span class="badge" aria-label=${`${waiting} waiting`}>${waiting}</span>` : null}</a>`)}
      </nav>
      <div class="top-end">
        <${Liveness} />
        <button class="plain" title="Keys (?)" aria-label="Keys" onClick=${() => setDialog('keys')}>?</button>
        <button class="plain" title="Settings" aria-label="Settings" onClick=${() => setDialog('settings')}>
          <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3 6h8M15 6h2M3 14h2M9 14h8" /><circle cx="13" cy="6" r="2" /><circle cx="7" cy="14" r="2" /></svg></button>
      </div>
    </header>
    <main id="main" tabindex="-1"><${View} key=${view.name} view=${view} place=${place.view === view.name ? place : { ...place, parts: [], query: {} }} /></main>
    <${Notices} />
    ${dialog === 'keys' ? html`<${Keys} onClose=${() => setDialog('')} />` : null}
    ${dialog === 'settings' ? html`<${Settings} onClose=${() => setDialog('')} />` : null}
  `;
}

const loaded = new Map();

function View({ view, place }) {
  const [Loaded, setLoaded] = useState(() => loaded.get(view.name));
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    if (Loaded) return;
    view.load().then((module) => {
      loaded.set(view.name, module.default);
      setLoaded(() => module.default);
    }, setProblem);
  }, []);
  if (problem) return html`<p class="banner" role="alert">This view could not be loaded. Is Interpose still running? Load the page again.</p>`;
  return Loaded ? html`<${Loaded} place=${place} />` : null;
}

function Liveness() {
  const state = useStore(liveness);
  const words = { connecting: 'connecting', live: 'live', lost: 'not connected' }[state];
  return html`<span class=${`liveness ${state}`} role="status"><i aria-hidden="true"></i><span>${words}</span></span>`;
}

function Keys({ onClose }) {
  const [bindings] = useState(bindingsNow);
  const shown = (key) => ({ ArrowDown: '↓', ArrowUp: '↑', Escape: 'Esc' }[key] || key);
  return html`
    <${Dialog} title="Keys" onClose=${onClose}>
      <dl class="keys">${bindings.map((binding) => html`<div key=${binding.about}><dt>${binding.keys.map((key) => html`<kbd key=${key}>${shown(key)}</kbd>`)}</dt><dd>${binding.about}</dd></div>`)}</dl>
    </${Dialog}>
  `;
}
