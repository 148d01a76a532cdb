// The scripts that run, and what went wrong in them: nothing where there is none.

import { get } from './api.js';
import { html } from './html.js';
import { useLoaded } from './parts.js';
import { count } from './words.js';

/** A card of the overview; it asks anew whenever `age` is another one. */
export function Scripts({ age }) {
  const { value } = useLoaded((signal) => get('scripts', {}, signal).catch(() => null), [age]);
  const scripts = value?.scripts || [];
  if (!scripts.length) return null;
  return html`
    <section class="card" aria-label="Scripts"><h2>Scripts</h2>
      <div class="scroll"><table class="listing"><thead><tr><th scope="col">File</th><th scope="col">Functions</th><th scope="col" class="number">Errors</th></tr></thead>
        <tbody>${scripts.map((one) => html`<${Script} key=${one.file} script=${one} />`)}</tbody></table></div>
    </section>
  `;
}

function Script({ script }) {
  const said = [
    script.broken && `The changed file does not run: ${script.broken}`,
    script.off.length && `Not called at the moment: ${script.off.join(', ')}`,
    ...script.troubles.slice(0, 3).map((one) => `${nameOf(one.file)}:${one.line} in ${one.function}: ${one.error} (${count(one.count, 'time')}${one.exchange ? `, last in ${one.exchange}` : ''})`),
  ].filter(Boolean);
  return html`
    <tr><td class="wrap" title=${script.file}>${nameOf(script.file)}</td><td class="wrap">${script.functions.join(', ')}</td>
      <td class=${script.errors ? 'number bad' : 'number'}>${script.errors.toLocaleString('en')}</td></tr>
    ${said.map((text) => html`<tr key=${text}><td colspan="3" class="wrap bad">${text}</td></tr>`)}
  `;
}

const nameOf = (file) => file.split('/').pop();
