// Experiments: how each stands, what is known of its variants, and deciding.

import { get } from './api.js';
import { Decide } from './experiment_decide.js';
import { Goal, percent } from './experiment_goal.js';
import { Trend } from './experiment_trend.js';
import { classes, html, useEffect, useState } from './html.js';
import { Empty, useLoaded } from './parts.js';
import { count, moment } from './words.js';

const LOOK_MS = 3000;
const STATES = { running: 'fresh', promoted: 'approved', paused: 'stale', 'rolled back': 'failed' };

export default function Experiments() {
  const [deciding, setDeciding] = useState(null);
  const { value, problem, reload } = useLoaded((signal) => get('experiments', {}, signal), []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || reload(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  if (problem?.status === 404) {
    return html`<section class="page"><${Empty} title="This instance has no experiments">
      <p>Give its configuration an <code>[[experiment]]</code> with a factor, two levels and a goal, and start it anew.</p></${Empty}></section>`;
  }
  const experiments = value?.experiments || [];
  return html`
    <section class="page experiments" aria-label="Experiments" aria-busy=${!value && !problem}>
      <h1 class="unseen">Experiments</h1>
      ${problem ? html`<p class="banner" role="alert">${problem.message}</p>` : null}
      ${value && !experiments.length ? html`<${Empty} title="No experiments"><p>The configuration has none any more.</p></${Empty}>` : null}
      ${experiments.map((one) => html`<${Experiment} key=${one.name} one=${one} onDecide=${(action) => setDeciding({ one, action })} />`)}
      ${deciding ? html`<${Decide} ...${deciding} onClose=${() => setDeciding(null)} onDone=${() => { setDeciding(null); reload(); }} />` : null}
    </section>
  `;
}

function Experiment({ one, onDecide }) {
  const { report } = one;
  const broken = one.guards.filter((guard) => guard.broken);
  return html`
    <article class="card experiment" aria-labelledby=${`experiment-${one.name}`}>
      <header>
        <h2 id=${`experiment-${one.name}`} class="wrap">${one.name}</h2>
        <span class=${`tag ${STATES[one.phase]}`}>${one.phase}</span>
        <span class="dim wrap">${setUp(one)}</span>
        <${Actions} one=${one} onDecide=${onDecide} />
      </header>
      ${report.ratio.is_suspicious ? html`<p class="banner" role="alert">${report.ratio.words}</p>` : null}
      ${broken.map((guard) => html`<p class="banner" role="alert" key=${guard.words}>${guard.broken}</p>`)}
      ${one.ramp.length ? html`<${Ramp} one=${one} />` : null}
      <p class="dim wrap">${one.variant ? html`<b class="code">${one.variant}</b> is for everybody${one.holdout ? ', but for the holdout' : ''}. ` : null}${one.why}</p>
      ${report.goals.map((goal) => html`<${Goal} key=${goal.goal} goal=${goal} alpha=${one.alpha} />`)}
      ${report.goals.length ? null : html`<p class="dim">It has no goal: nothing says which variant is better.</p>`}
      ${report.goals.length && report.units ? html`<${Trend} name=${one.name} />` : null}
      <${Passed} report=${report} guards=${one.guards} />
      <${Decisions} decisions=${one.decisions} />
    </article>
  `;
}

function setUp(one) {
  const words = [`${percent(one.share)} of ${one.unit}s take part`];
  if (one.holdout) words.push(`${percent(one.holdout)} held out`);
  if (one.layer) words.push(`layer ${one.layer}`);
  words.push(count(one.report.units, 'unit'));
  return words.join(' · ');
}

function Actions({ one, onDecide }) {
  if (one.is_fixed) return html`<span class="dim">as the configuration says</span>`;
  const button = (action, label, tone) => html`<button class=${classes('small', tone)} onClick=${() => onDecide(action)}>${label}</button>`;
  return html`<span class="actions">
    ${one.phase === 'running' ? button('pause', 'Pause…') : button('resume', 'Resume…')}
    ${button('promote', 'Promote…')}
    ${one.phase === 'rolled back' ? null : button('roll back', 'Roll back…', 'danger')}
  </span>`;
}

function Ramp({ one }) {
  return html`<ol class="ramp" aria-label="Ramp">
    ${one.ramp.map((share, step) => html`<li key=${share} class=${classes(step < one.step && 'done', step === one.step && 'now')}
      aria-current=${step === one.step ? 'step' : null}>${percent(share)}</li>`)}
    ${one.next_step_at ? html`<li class="dim">next ${moment(one.next_step_at).slice(0, 16)} at the earliest</li>` : null}
  </ol>`;
}

function Passed({ report, guards }) {
  const time = (seconds) => (seconds === null ? '–' : seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`);
  return html`<details><summary>Exchanges and units of each variant</summary>
    <div class="scroll"><table class="listing"><thead><tr><th scope="col">Variant</th><th scope="col" class="number">Share</th><th scope="col" class="number">Units</th>
      <th scope="col" class="number">Exchanges</th><th scope="col" class="number">Errors</th><th scope="col" class="number">Half within</th><th scope="col" class="number">95 % within</th></tr></thead>
      <tbody>${report.variants.map((row) => html`<tr key=${row.variant}><td class="code">${row.variant}</td><td class="number">${percent(row.share)}</td>
        <td class="number">${row.units.toLocaleString('en')}</td><td class="number">${row.requests.toLocaleString('en')}</td>
        <td class="number">${row.errors.toLocaleString('en')}</td><td class="number">${time(row.p50_s)}</td><td class="number">${time(row.p95_s)}</td></tr>`)}</tbody></table></div>
    <p class="dim">${report.ratio.words}${report.held_out ? ` ${count(report.held_out, 'unit')} held out.` : ''}${report.turned_away ? ` ${count(report.turned_away, 'unit')} came beyond the most that are kept, and were not counted.` : ''}</p>
    ${guards.length ? html`<p class="dim">Guards: ${guards.map((guard) => guard.words).join('; ')}.</p>` : null}
  </details>`;
}

function Decisions({ decisions }) {
  if (!decisions.length) return null;
  return html`<details><summary>${count(decisions.length, 'decision')}</summary>
    <ol class="decisions">${decisions.map((one) => html`<li key=${one.at}><span class="dim">${moment(one.at).slice(0, 19)}</span>
      <span class="wrap"><b>${one.phase}</b>${one.variant ? html` <span class="code">${one.variant}</span>` : null}, by ${one.by}: ${one.why}</span></li>`)}</ol></details>`;
}
