// Deciding about an experiment by hand, with a reason that is kept.

import { send } from './api.js';
import { html, useState } from './html.js';
import { notice } from './notices.js';
import { Dialog } from './parts.js';

const WORDS = {
  pause: { title: 'Pause', about: 'Nobody takes part until it is resumed; everybody gets what there is without it.', done: 'Paused.' },
  resume: { title: 'Resume', about: 'It goes on: units get the variants that they had.', done: 'It goes on.' },
  promote: { title: 'Promote', about: 'Everybody but the holdout gets this variant, and nothing more is counted:', done: 'Promoted.' },
  'roll back': { title: 'Roll back', about: 'It ends: nobody takes part, everybody gets what there is without it.', done: 'Rolled back.' },
};

export function Decide({ one, action, onClose, onDone }) {
  const names = one.report.variants.map((row) => row.variant);
  const winner = one.report.goals.map((goal) => goal.winner).find(Boolean);
  const [variant, setVariant] = useState(winner || names[names.length - 1]);
  const [why, setWhy] = useState('');
  const [problem, setProblem] = useState('');
  const [isBusy, setBusy] = useState(false);
  const words = WORDS[action];
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await send('POST', ['experiments', one.name, 'decide'], { action, variant: action === 'promote' ? variant : '', why });
      notice(words.done);
      onDone();
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
    }
  };
  return html`
    <${Dialog} title=${`${words.title} ${one.name}`} onClose=${onClose}>
      <form onSubmit=${submit} class="decide">
        <p>${words.about}</p>
        ${action === 'promote' ? html`<label>Variant <select value=${variant} onChange=${(event) => setVariant(event.target.value)}>
          ${names.map((name) => html`<option key=${name} value=${name} selected=${name === variant}>${name}</option>`)}</select></label>` : null}
        <label>Why <input value=${why} maxlength="300" placeholder="for the record" onInput=${(event) => setWhy(event.target.value)} /></label>
        ${problem ? html`<p class="field-problem" role="alert">${problem}</p>` : null}
        <footer class="dialog-actions"><button type="button" onClick=${onClose}>Cancel</button>
          <button class=${action === 'roll back' ? 'danger' : 'primary'} disabled=${isBusy}>${words.title}</button></footer>
      </form>
    </${Dialog}>
  `;
}
