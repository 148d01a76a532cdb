// The page begins: who is it, and is it let in.

import { openSession } from './api.js';
import { watchDesk } from './desk_queue.js';
import { listen } from './events.js';
import { Gate } from './gate.js';
import { html, render } from './html.js';
import { watchInstance } from './overview_data.js';
import { session } from './session.js';
import { Shell } from './shell.js';
import './theme.js';

const root = document.getElementById('app');

async function begin() {
  try {
    session.set(await openSession());
  } catch (error) {
    render(html`<${Gate} problem=${error} again=${begin} />`, root);
    return;
  }
  listen();
  watchDesk();
  watchInstance();
  render(html`<${Shell} />`, root);
}

begin();
