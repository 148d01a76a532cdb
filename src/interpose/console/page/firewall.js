// The firewall: in which exchanges rules matched, which rules those were, and what other rules would make of them.

import { get } from './api.js';
import { FirewallChart } from './firewall_chart.js';
import { Rules } from './firewall_rules.js';
import { Try } from './firewall_try.js';
import { classes, html, useEffect, useRef, useState } from './html.js';
import { useKeys } from './keys.js';
import { Empty, useLoaded } from './parts.js';
import { go, link } from './route.js';
import { count, moment } from './words.js';

const LIMIT = 200;
const TAGS = { blocked: 'blocked', detected: 'stale', noted: '' };

/** #/firewall?q=QUERY. */
export default function Firewall({ place }) {
  const { q = '' } = place.query;
  const [text, setText] = useState(q);
  const field = useRef(null);
  const { value, problem, reload } = useLoaded((signal) => get('firewall', { q, limit: LIMIT }, signal), [q]);
  useEffect(() => setText(q), [q]);
  useKeys([{ keys: ['/'], about: 'Search', run: () => field.current?.focus() }]);
  const search = (event) => {
    event.preventDefault();
    if (text.trim() === q) reload();
    else go('firewall', [], { q: text.trim() });
  };
  const matches = value?.matches || [];
  return html`
    <section class="page cache firewall" aria-label="Firewall">
      <h1 class="unseen">Firewall</h1>
      <form class="query-line" role="search" onSubmit=${search}>
        <input ref=${field} class=${classes('code', problem && 'wrong')} value=${text} spellcheck=${false} aria-label="Which exchanges"
          placeholder="A query, such as host:shop.example path:/login" onInput=${(event) => setText(event.target.value)} />
        <button>Search</button>
      </form>
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${value?.firewall ? html`<${Setting} firewall=${value.firewall} leftOut=${value.left_out} />` : null}
      ${value && !value.firewall ? html`<p class="banner">This instance has no <code>[firewall]</code>. What it would block can be tried all the same.</p>` : null}
      ${value && !value.is_recorded ? html`<p class="banner">Nothing is recorded here, so nothing can be shown or tried: give it a <code>[journal]</code>.</p>` : null}
      ${q ? null : html`<${FirewallChart} />`}
      <div class="columns">
        <div>
          <h2>Latest matches</h2>
          ${matches.length ? html`<ul class="stored">${matches.map((row) => html`<${Matched} key=${row.id} row=${row} />`)}</ul>` : null}
          ${value && !matches.length ? html`<${Empty} title=${q ? 'No rule matched in any of these' : 'No rule has matched yet'}>
            <p>Here are requests and answers in which rules matched, refused or not, with the rules and what they added up to.</p></${Empty}>` : null}
          ${value?.more ? html`<p class="dim">There are older ones: narrow the query.</p>` : null}
        </div>
        <div>
          <${Try} query=${q} canTry=${Boolean(value?.is_recorded)} firewall=${value?.firewall} />
          ${value?.top.length ? html`<h2>Rules that matched most often</h2><${Top} rules=${value.top} />` : null}
        </div>
      </div>
    </section>
  `;
}

function Setting({ firewall, leftOut }) {
  const level = firewall.core_rules
    ? `Core Rule Set at paranoia ${firewall.blocking_paranoia}${firewall.detection_paranoia > firewall.blocking_paranoia ? `, noted up to ${firewall.detection_paranoia}` : ''}; `
    : '';
  const mode = { block: 'It blocks', detect: 'It only notes', off: 'It is off, but for some routes' }[firewall.mode];
  return html`
    <details class="setting">
      <summary>${mode}: requests from a score of ${firewall.inbound_threshold}, answers from ${firewall.outbound_threshold}. ${level}${count(firewall.rules, 'own rule')}, ${count(firewall.exclusions, 'exclusion')}.</summary>
      ${leftOut.length ? html`<p class="dim">What of the rule set has no effect here:</p><ul class="dim">${leftOut.map((line) => html`<li key=${line}>${line}</li>`)}</ul>` : null}
    </details>
  `;
}

function Matched({ row }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <li>
      <div class="stored-line">
        <button class="plain stored-url code" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>${row.method} ${row.target}</button>
        <span class=${`tag ${TAGS[row.result]}`}>${row.result}</span>
        <span class="dim score">${row.score} of ${row.threshold}</span>
      </div>
      ${isOpen ? html`<div class="story">
        <p class="dim">${moment(row.started)}, from ${row.client}, ${row.side}${row.route ? `, route ${row.route}` : ''}; answered ${row.status}. <a href=${link('flows', [row.id])}>Flow ${row.id}</a></p>
        <${Rules} rules=${row.rules} />
      </div>` : null}
    </li>
  `;
}

const Top = ({ rules }) => html`
  <ul class="stored">${rules.map((one) => html`<li key=${one.rule}>
    <div class="stored-line">
      <span class="stored-url"><b class="code">${one.rule}</b> ${one.message}</span>
      <span class="dim">${count(one.count, 'time')}</span>
      <span class="dim">${one.blocked} blocked</span>
    </div></li>`)}</ul>
`;
