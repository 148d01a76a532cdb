// Content for reading: as its kind is best read, or as octets. Always text, whatever it claims to be; pictures only as
// data the console has made of the few formats that cannot carry a script.

import { address, get, getOctets } from './api.js';
import { html, useMemo, useState } from './html.js';
import { dump } from './hex.js';
import { Choice, CopyButton, useLoaded } from './parts.js';
import { coloured } from './json_text.js';
import { size as inWords } from './words.js';

const FIRST_CHARACTERS = 100_000;
const FIRST_OCTETS = 16_384;
const SAFE_IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;

/** `address` is where the octets are, `preview` where the console says how to show them. */
export function Content({ address: parts, preview, size, kept }) {
  const [shape, setShape] = useState('read');
  if (!size) return html`<p class="dim">None.</p>`;
  if (!kept) return html`<p class="dim">It was counted and not kept.</p>`;
  return html`
    <div class="content-bar">
      <${Choice} label="Show as" value=${shape} onChange=${setShape} options=${[['read', 'Readable'], ['hex', 'Hex']]} />
      <a class="small button" href=${address(parts, { decoded: 1 })} download>Download</a>
    </div>
    ${shape === 'read' ? html`<${Preview} parts=${preview} onHex=${() => setShape('hex')} />` : html`<${Hex} parts=${parts} />`}
  `;
}

function Preview({ parts, onHex }) {
  const { value, problem } = useLoaded((signal) => get(parts, {}, signal), [parts.join('/')]);
  if (problem) return html`<p class="banner" role="alert">${problem.message}</p>`;
  if (!value) return html`<p class="dim">Reading…</p>`;
  const about = [value.media_type, value.coding && `${value.coding}, decoded`, value.cut && 'only the beginning'].filter(Boolean).join(' · ');
  return html`
    <div class="content-about"><span class="dim">${about}</span>${value.text ? html`<${CopyButton} text=${value.text} />` : null}</div>
    ${value.problem ? html`<p class="banner">${value.problem}</p>` : null}
    <${Shown} value=${value} onHex=${onHex} />
  `;
}

function Shown({ value, onHex }) {
  if (value.kind === 'empty') return html`<p class="dim">None.</p>`;
  if (value.kind === 'image' && SAFE_IMAGE.test(value.image || '')) {
    return html`<figure class="image"><img src=${value.image} alt="The picture that was sent" /></figure>`;
  }
  if (value.kind === 'form' && value.rows) {
    return html`<table class="fields"><tbody>${value.rows.map(([name, text], index) => html`<tr key=${index}><th scope="row">${name}</th><td>${text}</td></tr>`)}</tbody></table>`;
  }
  if (typeof value.text === 'string') return html`<${LongText} text=${value.text} isJson=${value.kind === 'json'} isDump=${value.kind === 'hex'} />`;
  return html`<p class="dim">There is no way to read this as text. <button class="small" onClick=${onHex}>Show its octets</button></p>`;
}

/** A text that may be very long: its beginning first. */
export function LongText({ text, isJson = false, isDump = false }) {
  const [shown, setShown] = useState(FIRST_CHARACTERS);
  const part = text.length > shown ? text.slice(0, shown) : text;
  const drawn = useMemo(() => (isJson && part.length <= FIRST_CHARACTERS ? coloured(part) : part), [part, isJson]);
  return html`
    <pre class=${isDump ? 'content dump' : 'content'} tabindex="0">${drawn}</pre>
    ${text.length > shown ? html`<button class="small" onClick=${() => setShown(shown * 8)}>Show more (${inWords(text.length - shown)} left)</button>` : null}
  `;
}

function Hex({ parts }) {
  const { value, problem } = useLoaded((signal) => getOctets(parts, {}, signal), [parts.join('/')]);
  if (problem) return html`<p class="banner" role="alert">${problem.message}</p>`;
  return value ? html`<${HexDump} octets=${value.octets} isCut=${value.isCut} />` : html`<p class="dim">Reading…</p>`;
}

/** Octets as people read them; the beginning first. */
export function HexDump({ octets, isCut = false }) {
  const [shown, setShown] = useState(FIRST_OCTETS);
  const text = useMemo(() => dump(octets.subarray(0, shown)), [octets, shown]);
  return html`
    <pre class="content dump" tabindex="0">${text}</pre>
    ${octets.length > shown ? html`<button class="small" onClick=${() => setShown(shown * 8)}>Show more (${inWords(octets.length - shown)} left)</button>` : null}
    ${isCut && octets.length <= shown ? html`<p class="dim">The rest was not kept.</p>` : null}
  `;
}
