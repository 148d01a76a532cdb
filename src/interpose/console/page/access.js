// Who may go where: the rules and lists with what they have decided, and why a request is let through or refused.

import { get } from './api.js';
import { html, useEffect, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { Empty, useLoaded } from './parts.js';
import { go } from './route.js';
import { count, moment } from './words.js';

const REFERENCE = /^[0-9]{1,6}-[0-9a-f]{1,16}$/;
const DONE = {
  allow: 'is let through', deny: 'is refused', hold: 'waits at the desk', ask: 'is decided elsewhere', limit: 'goes on under its limit',
};
const TAGS = { allow: 'fresh', deny: 'blocked', hold: 'held', ask: 'looks', limit: 'stale' };

/** #/access?q=URL&client=IP&user=NAME. */
export default function Access({ place }) {
  const { q = '', client = '', user = '' } = place.query;
  const [asked, setAsked] = useState({ q, client, user });
  const field = useRef(null);
  const { value, problem, reload } = useLoaded((signal) => get('access', {}, signal), []);
  useEffect(() => setAsked({ q, client, user }), [q, client, user]);
  useKeys([{ keys: ['/'], about: 'Ask why', run: () => field.current?.focus() }]);
  if (problem?.status === 404) return html`<section class="page"><${NoRules} /></section>`;
  const write = (name) => (event) => setAsked((before) => ({ ...before, [name]: event.target.value }));
  const ask = (event) => {
    event.preventDefault();
    reload();
    go('access', [], { q: asked.q.trim(), client: asked.client.trim(), user: asked.user.trim() });
  };
  const rules = value?.rules || [];
  const lists = value?.blocklists || [];
  return html`
    <section class="page cache access" aria-label="Access">
      <h1 class="unseen">Access</h1>
      <form class="query-line" role="search" onSubmit=${ask}>
        <input ref=${field} class="code" value=${asked.q} spellcheck=${false} aria-label="What is asked for" onInput=${write('q')}
          placeholder="A URL, host:port, or the reference of an error page" />
        <input class="code" value=${asked.client} spellcheck=${false} aria-label="Who asks, by address" placeholder="from 127.0.0.1" onInput=${write('client')} />
        <input value=${asked.user} spellcheck=${false} aria-label="Who asks, by name" placeholder="user" onInput=${write('user')} />
        <button>Why?</button>
      </form>
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${q ? html`<${Why} key=${`${q} ${client} ${user}`} q=${q} client=${client} user=${user} />` : null}
      ${rules.length ? html`<h2>Rules</h2><ol class="stored">${rules.map((rule) => html`<${Rule} key=${rule.number} rule=${rule} />`)}</ol>` : null}
      ${lists.length ? html`<h2>Block lists</h2><ul class="stored">${lists.map((list) => html`<${List} key=${list.name} list=${list} />`)}</ul>` : null}
      ${value && !rules.length && !lists.length ? html`<${NoRules} />` : null}
    </section>
  `;
}

const NoRules = () => html`<${Empty} title="Everything is allowed that is safe"><p>There are neither rules nor block lists.
  The configuration takes them as <code>[[access]]</code> and <code>[[blocklist]]</code>.</p></${Empty}>`;

function Rule({ rule }) {
  return html`
    <li>
      <div class="stored-line">
        <span class="stored-url code">${rule.number}. ${rule.name}</span>
        <span class=${`tag ${TAGS[rule.action]}`}>${rule.dry_run ? `${rule.action}, on trial` : rule.action}</span>
        <span class="dim">${count(rule.hits, 'hit')}</span>
      </div>
      ${rule.when === rule.name ? null : html`<div class="story dim code">${rule.when}</div>`}
    </li>
  `;
}

function List({ list }) {
  const fetched = list.fetched_at ? `, fetched ${moment(list.fetched_at).slice(0, 16)}` : '';
  return html`
    <li>
      <div class="stored-line">
        <span class="stored-url code">${list.name}</span>
        <span class="dim">${count(list.rules, 'rule')}${fetched}</span>
        <span class="dim">${count(list.hits, 'hit')}</span>
      </div>
      ${list.problem ? html`<p class="story" role="alert">${list.problem}</p>` : null}
    </li>
  `;
}

function Why({ q, client, user }) {
  const parts = REFERENCE.test(q) ? ['access', 'explain', q] : ['access', 'explain'];
  const query = REFERENCE.test(q) ? {} : { url: q, client, user };
  const { value, problem } = useLoaded((signal) => get(parts, query, signal), []);
  if (problem) return html`<p class="banner" role="alert">${problem.message}</p>`;
  if (!value) return null;
  const { notes, now } = value.reference ? value : { notes: null, now: value };
  return html`
    <article class="card why" aria-label="Why">
      ${notes ? html`<p class="wrap">Exchange ${value.reference} ended with ${value.status}. ${told(notes)}</p>` : null}
      ${now ? html`<${Trace} said=${now} isOld=${Boolean(notes)} />` : null}
    </article>
  `;
}

const told = (notes) => {
  if (notes.why) return `Refused by ${notes.filter}, rule ${notes.rule}: ${notes.why}`;
  return notes.access ? `Decided by the access rule ${notes.access}.` : 'No rule decided about it.';
};

function Trace({ said, isOld }) {
  const { decision } = said;
  const refusing = said.others.filter((other) => other.refuses);
  const later = said.others.filter((other) => ['firewall', 'limit'].includes(other.by));
  return html`
    <p class="wrap"><span class="code">${said.method} ${said.url}</span>${isOld ? ', by the rules as they are now' : ''}:</p>
    <ol class="plain-list">${said.rules.map((rule) => html`<li key=${rule.number} class="wrap">
      ${rule.number}. ${rule.name}: ${rule.matched ? html`<b>matches</b>` : html`<span class="dim">${rule.reasons.map(reason).join('; ') || 'does not match'}</span>`}</li>`)}</ol>
    <p class="wrap"><b>${decision.rule === null ? 'No rule decides about it: it is let through.' : `It ${DONE[decision.action]}${decision.status ? ` with ${decision.status}` : ''}, by rule ${decision.rule}.`}</b> ${decision.message}</p>
    ${refusing.map((other) => html`<p key=${other.by} class="wrap dim">It would fail besides (${other.by}): ${other.why}</p>`)}
    ${later.map((other) => html`<p key=${other.by} class="wrap dim">When it comes: ${other.why}</p>`)}
  `;
}

const reason = ({ part, found }) => `${part}, but ${found === null ? 'of that nothing is known' : found ? `it is ${found}` : 'there is none'}`;
