// The table of flows. Of any number of rows only those in sight are elements; the scroll bar is that of all of them.

import { classes, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from './html.js';
import { clock, duration, moment, size, statusClass } from './words.js';

const ROW_PX = 28;
const TALL_ROW_PX = 54;
const NARROW_PX = 620;
const OVERSCAN = 12;
// Browsers give up on elements that are much taller than this; what is older is found by a query.
const TALLEST_PX = 14_000_000;

const COLUMNS = [
  ['time', 'Time'], ['method', 'Method'], ['status', 'Status'], ['url', 'Target'], ['type', 'Type'],
  ['size', 'Size'], ['duration', 'Took'], ['client', 'Client'], ['is', 'Marks'],
];

/** `source` is a FlowRows; `version` changes whenever it has changed. `chosen` and `compared` are numbers of records. */
export function FlowTable({ source, version, chosen, compared, onChoose, onOpen, empty }) {
  const box = useRef(null);
  const [view, setView] = useState({ scroll: 0, height: 600, width: 1000 });
  const rowPx = view.width < NARROW_PX ? TALL_ROW_PX : ROW_PX;
  const total = Math.min(source.total, Math.floor(TALLEST_PX / rowPx));

  useEffect(() => {
    const table = box.current;
    const watch = new ResizeObserver(() => {
      const { clientHeight: height, clientWidth: width } = table;
      setView((before) => ({ ...before, height, width }));
    });
    watch.observe(table);
    return () => watch.disconnect();
  }, []);

  const scrolled = (event) => {
    const scroll = event.currentTarget.scrollTop;
    source.follow(scroll < rowPx);
    setView((before) => (before.scroll === scroll ? before : { ...before, scroll }));
  };

  const first = Math.max(0, Math.floor(view.scroll / rowPx) - OVERSCAN);
  const last = Math.min(total, Math.ceil((view.scroll + view.height) / rowPx) + OVERSCAN);

  // Where a run of rows turned out to be elsewhere than estimated, move with it: what is read stays in place.
  useLayoutEffect(() => {
    if (!source.shift) return;
    box.current.scrollTop += source.shift * rowPx;
    source.shift = 0;
  }, [version]);
  useEffect(() => source.want(first, last), [first, last, version]);

  // The chosen row comes into sight when it was chosen elsewhere, by a key for example.
  useEffect(() => {
    const at = chosen ? source.positionOf(chosen) : -1;
    if (at < 0) return;
    const head = box.current.querySelector('.row-head').offsetHeight;
    const top = at * rowPx;
    if (top < box.current.scrollTop) box.current.scrollTop = top;
    const over = top + rowPx + head - (box.current.scrollTop + box.current.clientHeight);
    if (over > 0) box.current.scrollTop += over;
  }, [chosen]);

  const rows = [];
  for (let position = first; position < last; position += 1) {
    const row = source.at(position);
    rows.push(html`<${Row} key=${row ? row.id : `gap ${position}`} row=${row} position=${position} rowPx=${rowPx}
      isChosen=${row && row.id === chosen} isCompared=${row && row.id === compared} />`);
  }
  const clicked = (event, act) => {
    const row = event.target.closest('.row[id]');
    if (row) act(Number(row.id.slice('flow-'.length)));
  };
  return html`
    <div class="flow-table" ref=${box} onScroll=${scrolled} role="grid" aria-label="Flows" aria-rowcount=${source.total + 1}
      aria-activedescendant=${chosen ? `flow-${chosen}` : null} aria-busy=${source.isLoading} tabindex="0">
      <div class="row row-head" role="row" aria-rowindex="1">
        ${COLUMNS.map(([name, label]) => html`<span key=${name} class=${`cell ${name}`} role="columnheader">${label}</span>`)}
      </div>
      <div class="rows" role="rowgroup" style=${{ height: `${total * rowPx}px` }}
        onClick=${(event) => clicked(event, onChoose)} onDblClick=${(event) => clicked(event, onOpen)}>${rows}</div>
      ${!source.total && !source.isLoading ? empty : null}
    </div>
  `;
}

// Drawn again only when something of it has changed: scrolling costs the rows that come in.
function Row(props) {
  return useMemo(() => drawn(props), Object.values(props));
}

function drawn({ row, position, rowPx, isChosen, isCompared }) {
  const style = { transform: `translateY(${position * rowPx}px)`, height: `${rowPx}px` };
  if (!row) return html`<div class="row gap" role="row" aria-rowindex=${position + 2} style=${style}></div>`;
  return html`
    <div id=${`flow-${row.id}`} class=${classes('row', isChosen && 'chosen', isCompared && 'compared', row.failure && 'failed')}
      role="row" aria-rowindex=${position + 2} aria-selected=${isChosen ? 'true' : 'false'} style=${style}>
      <span class="cell time" role="gridcell" title=${moment(row.started)}>${clock(row.started)}</span>
      <span class="cell method" role="gridcell">${row.method || row.kind}</span>
      <span class=${`cell status ${row.failure ? 'broken' : statusClass(row.status)}`} role="gridcell">
        ${row.status || (row.failure ? 'failed' : '–')}</span>
      <span class="cell url" role="gridcell" title=${row.url}><${Target} row=${row} /></span>
      <span class="cell type" role="gridcell">${shortType(row)}</span>
      <span class="cell size" role="gridcell">${size(row.response_size)}</span>
      <span class="cell duration" role="gridcell">${row.duration_ms < 1 ? '<1 ms' : duration(row.duration_ms)}</span>
      <span class="cell client" role="gridcell" title=${row.user ? `${row.user}, ${row.client}` : row.client}>${row.user || row.client}</span>
      <span class="cell is" role="gridcell"><${Marks} row=${row} /></span>
    </div>
  `;
}

function Target({ row }) {
  const path = row.path || '';
  return html`<b>${row.host || row.url}</b><span>${path}</span>`;
}

/** Short words for what is special about a flow. */
export function Marks({ row }) {
  const words = (row.is || []).filter((word) => word !== 'error');
  return html`
    ${row.mark ? html`<span class="star" title="Marked">★</span>` : null}
    ${row.comment ? html`<span class="remark" title=${row.comment}>✎</span>` : null}
    ${words.map((word) => html`<span key=${word} class=${`tag ${word}`}>${word}</span>`)}
  `;
}

function shortType(row) {
  if (row.messages) return `${row.messages.toLocaleString('en')} msg`;
  const type = (row.type || '').split(';')[0].trim();
  const [, kind = ''] = type.split('/');
  return kind.replace(/^(x-|vnd\.)/, '').replace(/^.*\+/, '') || type;
}
