// One goal of an experiment: its variants, each with an interval drawn on the same scale, and what may be said of them.

import { html } from './html.js';

const WIDTH = 1000;
const STANDINGS = { control: '', better: 'fresh', worse: 'failed', undecided: 'stale', 'too few': 'stale' };
const MARGIN = 0.04;

/** 0.123 as "12.3 %". */
export const percent = (share) => {
  const value = share * 100;
  if (value > 0 && value < 0.01) return '< 0.01 %';
  const digits = value === 0 || value >= 99.95 || Number.isInteger(value) ? 0 : value >= 1 ? 1 : 2;
  return `${value.toFixed(digits)} %`;
};

export function Goal({ goal, alpha }) {
  const shown = goal.kind === 'conversion' ? percent : (value) => value.toLocaleString('en', { maximumSignificantDigits: 4 });
  const bare = goal.kind === 'conversion' ? (value) => (value * 100).toFixed(2) : shown;
  const differing = (value) => `${bare(value)}${goal.kind === 'conversion' ? ' points' : ''}`;
  const scale = scaleOf(goal.estimates, goal.kind === 'conversion');
  const control = goal.estimates[0];
  return html`
    <section class="goal" aria-label=${`Goal ${goal.goal}`}>
      <h3 class="wrap">${goal.goal} <span class="dim">${about(goal)}</span></h3>
      <p class=${goal.winner ? 'said good' : 'said'}>${goal.verdict}</p>
      <ul class="variants">${goal.estimates.map((one) => html`<li key=${one.variant}>
        <div class="variant-name"><span class="code wrap">${one.variant}</span> <span class=${`tag ${STANDINGS[one.standing]}`}>${one.standing}</span></div>
        <${Interval} one=${one} control=${control} scale=${scale} shown=${shown} />
        <p class="variant-facts"><b>${shown(one.mean)}</b> <span class="dim">${shown(one.low)} to ${shown(one.high)}</span><br />
          <span class="dim">${one.reached.toLocaleString('en')} of ${one.units.toLocaleString('en')} units · best with ${percent(one.best)}</span>
          ${one.difference_low === null || one.difference_low === undefined ? null : html`<br /><span class="dim">${sign(one.difference, differing)} to the control, surely ${sign(one.difference_low, bare)} to ${sign(one.difference_high, differing)}</span>`}</p>
      </li>`)}</ul>
      ${goal.effects.length ? html`<${Effects} effects=${goal.effects} shown=${differing} alpha=${alpha} />` : null}
    </section>
  `;
}

const about = (goal) => `${{ conversion: 'share of the units', sum: 'sum for each unit', mean: 'mean for each unit that has one' }[goal.kind]}, ${goal.better} is better`;

const sign = (value, shown) => `${value > 0 ? '+' : ''}${shown(value)}`;

function scaleOf(estimates, isShare) {
  const known = estimates.filter((one) => one.units > 0);
  if (!known.length) return { low: 0, span: 1 };
  const low = Math.min(...known.map((one) => one.low));
  const high = Math.max(...known.map((one) => one.high));
  const margin = (high - low) * MARGIN || Math.abs(high) * MARGIN || 1;
  const from = isShare ? Math.max(0, low - margin) : low - margin;
  return { low: from, span: (isShare ? Math.min(1, high + margin) : high + margin) - from || 1 };
}

function Interval({ one, control, scale, shown }) {
  const at = (value) => ((value - scale.low) / scale.span) * WIDTH;
  const words = one.units ? `${shown(one.mean)}, from ${shown(one.low)} to ${shown(one.high)}` : 'no units yet';
  return html`<svg class=${`interval ${one.standing.replace(' ', '-')}`} viewBox=${`0 0 ${WIDTH} 24`} preserveAspectRatio="none" role="img" aria-label=${words}>
    <line class="track" x1="0" x2=${WIDTH} y1="12" y2="12" />
    ${control.units ? html`<line class="reference" x1=${at(control.mean)} x2=${at(control.mean)} y1="0" y2="24" />` : null}
    ${one.units ? html`<rect x=${at(one.low)} y="6" width=${Math.max(1, at(one.high) - at(one.low))} height="12" rx="2" />
      <line class="mean" x1=${at(one.mean)} x2=${at(one.mean)} y1="2" y2="22" />` : null}
  </svg>`;
}

function Effects({ effects, shown, alpha }) {
  return html`<details><summary>What each factor does, and what two do together</summary>
    <div class="scroll"><table class="listing"><thead><tr><th scope="col">Level</th><th scope="col" class="number">Difference</th><th scope="col" class="number">p</th></tr></thead>
      <tbody>${effects.map((one) => html`<tr key=${one.of}><td class="code wrap">${one.of}</td><td class="number">${sign(one.estimate, shown)}</td>
        <td class=${one.p < alpha ? 'number good' : 'number'}>${one.p < 0.001 ? '< 0.001' : one.p.toFixed(3)}</td></tr>`)}</tbody></table></div>
    <p class="dim">To the first level of each factor, on average over the others. For who looks once; p is adjusted for their number (Holm).</p></details>`;
}
