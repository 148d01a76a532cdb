// Short notices at the edge of the page: what was done, and what was not.

import { html } from './html.js';
import { store, useStore } from './store.js';

const STAY_MS = 6000;
const shown = store([]);
const spoken = store('');
let last = 0;

/** Show a sentence for some seconds; a problem stays until it is closed. */
export function notice(text, isProblem = false) {
  last += 1;
  const id = last;
  shown.set((before) => [...before.slice(-3), { id, text, isProblem }]);
  if (!isProblem) setTimeout(() => close(id), STAY_MS);
}

/** Say something to those who listen to the page rather than look at it. */
export const announce = (text) => spoken.set(text);

/** Run what may be refused; the refusal is shown. Gives what it gave, or undefined. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'AbortError') notice(error.message, true);
    return undefined;
  }
}

const close = (id) => shown.set((before) => before.filter((one) => one.id !== id));

export function Notices() {
  const list = useStore(shown);
  return html`
    <div class="notices" role="status" aria-live="polite">
      ${list.map(
        (one) => html`<div key=${one.id} class=${one.isProblem ? 'notice problem' : 'notice'}>
          <span>${one.text}</span>
          <button class="plain" aria-label="Close this notice" onClick=${() => close(one.id)}>×</button>
        </div>`,
      )}
    </div>
    <div class="unseen" aria-live="assertive">${useStore(spoken)}</div>
  `;
}
