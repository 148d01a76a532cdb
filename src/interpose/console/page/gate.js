// What is shown to whoever has not been let in, and how to get in.

import { html } from './html.js';
import { CommandLine } from './parts.js';

export const Gate = ({ problem, again }) => (problem.status === 401 || problem.status === 403
  ? html`<main class="gate"><h1>This page needs its link</h1>
      <p>Interpose shows what passes through it only to whoever started it. When it starts it prints a line with a link to this
        page: open that link once in this browser, and it is remembered.</p>
      <p>Is the line gone? This prints the link again, in a terminal on the same machine:</p>
      <${CommandLine} text="interpose status" />
      <p><button onClick=${again}>I have opened the link</button></p></main>`
  : html`<main class="gate"><h1>No answer</h1><p role="alert">${problem.message}</p><p><button onClick=${again}>Try again</button></p></main>`);
