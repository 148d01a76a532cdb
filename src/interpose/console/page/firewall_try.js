// What-if: other rules, asked about what has passed.

import { send } from './api.js';
import { Rules } from './firewall_rules.js';
import { html, useState } from './html.js';
import { CopyButton } from './parts.js';
import { link } from './route.js';
import { count } from './words.js';

const NOTHING = { last: 500, paranoia: '', threshold: '', exclude: '', every: false };

export function Try({ query, canTry, firewall }) {
  const [asked, setAsked] = useState(NOTHING);
  const [state, setState] = useState({ isBusy: false, result: null, problem: '' });
  const write = (name) => (event) => setAsked((before) => ({ ...before, [name]: event.target.value }));
  const submit = async (event) => {
    event.preventDefault();
    setState({ isBusy: true, result: null, problem: '' });
    try {
      const result = await send('POST', ['firewall', 'try'], {
        query,
        last: Number(asked.last) || 500,
        blocking_paranoia: Number(asked.paranoia) || 0,
        inbound_threshold: Number(asked.threshold) || 0,
        exclude: asked.exclude.split(/[\s,]+/).filter(Boolean),
        every: asked.every,
      });
      setState({ isBusy: false, result, problem: '' });
    } catch (error) {
      setState({ isBusy: false, result: null, problem: error.message });
    }
  };
  return html`
    <form class="card try" aria-label="What if" onSubmit=${submit}>
      <h2>What if?</h2>
      <p class="dim">Other rules are asked about what has passed${query ? html` and matches <span class="code">${query}</span>` : ''}. Nothing that runs is changed.</p>
      <div class="fields">
        <label>Newest exchanges <input type="number" min="1" max="10000" value=${asked.last} onInput=${write('last')} /></label>
        <label>Block up to paranoia <select value=${asked.paranoia} onChange=${write('paranoia')}>
          <option value="">${firewall ? `${firewall.blocking_paranoia}, as it is` : '1'}</option>${[1, 2, 3, 4].map((level) => html`<option key=${level} value=${level}>${level}</option>`)}</select></label>
        <label>Block from a score of <input type="number" min="1" value=${asked.threshold} placeholder=${firewall ? firewall.inbound_threshold : 5} onInput=${write('threshold')} /></label>
        <label class="whole">Leave out <input class="code" value=${asked.exclude} spellcheck=${false} placeholder="942100, or 942100:ARGS:note" onInput=${write('exclude')} /></label>
      </div>
      <label class="switch"><input type="checkbox" checked=${asked.every} onChange=${(event) => setAsked({ ...asked, every: event.target.checked })} />
        Propose exclusions for all who would be blocked, not only for those who newly are</label>
      <div><button disabled=${!canTry || state.isBusy}>${state.isBusy ? 'Trying…' : 'Try'}</button></div>
      ${state.problem ? html`<p class="field-problem" role="alert">${state.problem}</p>` : null}
      ${state.result ? html`<${Result} result=${state.result} />` : null}
    </form>
  `;
}

function Result({ result }) {
  const newly = result.newly_blocked.length;
  const freed = result.newly_freed.length;
  return html`
    <div class="result" role="status">
      <p><b>${count(result.tried, 'exchange')} tried.</b> Blocked by the rules as they are: ${result.blocked_before}; by these: ${result.blocked_after}.</p>
      ${newly ? html`<h3>Newly blocked: ${newly}</h3><${Rows} rows=${result.newly_blocked} />` : null}
      ${freed ? html`<h3>Newly free: ${freed}</h3><${Rows} rows=${result.newly_freed} />` : null}
      ${!newly && !freed ? html`<p class="dim">Nobody would newly be blocked or free.</p>` : null}
      ${result.proposal ? html`
        <h3>Fewest exclusions</h3>
        <p class="dim">They free ${result.freed}; ${result.left} stay blocked. Look whether those are wanted before you paste it:</p>
        <pre class="proposal code">${result.proposal}</pre>
        <div><${CopyButton} text=${result.proposal} /></div>` : null}
      ${result.unjudged ? html`<p class="dim">${result.unjudged} took too long to be judged.</p>` : null}
      ${result.cut ? html`<p class="dim">${result.cut} had more content than the journal keeps.</p>` : null}
    </div>
  `;
}

const Rows = ({ rows }) => html`
  <ul class="stored">${rows.map((row) => html`<li key=${row.id}>
    <div class="story"><p><a href=${link('flows', [row.id])}>${row.id}</a> <span class="code wrap">${row.method} ${row.target}</span> <span class="dim">score ${row.score}</span></p>
      <${Rules} rules=${row.rules} /></div></li>`)}</ul>
`;
