// The rows of the flow table: a window over a journal that is too long to hold, and that grows while one looks.
//
// The journal is asked for pages by number of record (`before`, `after`), never by position, so that a page is quick
// however far down it is. We keep one run of rows without gaps (`rows`), which the table shows from position `top` on.
// Scrolling makes the run longer at one end and, above MOST rows, shorter at the other. Dragging the scroll bar far away
// begins a new run at a number that is estimated from the position; when such a run meets the newest or the oldest record
// its true position is known, and `shift` tells the table by how much to correct itself.
//
// New records come as events. While the table stands at its top they go in; otherwise they are only counted (`pending`),
// and nothing that is being read moves.

import { get } from './api.js';

export const CHUNK = 200;
const MOST = 2000;
const MARGIN = 60;
const MOST_TRIES = 12;
const LOOK_AGAIN_MS = 1000;

export class FlowRows {
  /** `changed()` is called when there is something to draw. */
  constructor(changed) {
    this.changed = changed;
    this.query = '';
    this.isFollowing = true;
    this.late = []; // what came while the journal was asked, and may not be in its answer
    this.stop = new AbortController();
    this.clear();
  }

  clear() {
    this.rows = [];
    this.top = 0;
    this.total = 0;
    this.isExact = true;
    this.pending = 0;
    this.shift = 0;
    this.newest = 0;
    this.newestSeen = 0;
    this.hasNewest = true;
    this.hasOldest = false;
    this.before = 0; // the number before which the journal has not been looked through
    this.busy = new Set();
    this.problem = null;
    this.isLoading = false;
  }

  /** Show what `query` means, from the newest on. */
  async search(query) {
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.query = query;
    this.isLoading = true;
    this.late = [];
    this.problem = null;
    this.changed();
    try {
      const [page, counted] = await Promise.all([
        this.page({}),
        get(['flows', 'count'], { q: query }, signal),
      ]);
      const { isFollowing } = this;
      this.clear();
      this.isFollowing = isFollowing;
      this.rows = page.flows;
      this.hasOldest = !page.more;
      this.before = page.before;
      this.total = page.more ? Math.max(counted.count, page.flows.length + 1) : page.flows.length;
      this.isExact = !page.more || counted.exact;
      this.newest = this.rows[0]?.id ?? 0;
      this.newestSeen = this.newest;
      for (const row of this.late) this.add(row);
    } catch (error) {
      if (signal.aborted) return;
      this.isLoading = false;
      this.problem = error;
    }
    this.changed();
  }

  /** The row at a position of the table, when it is here. */
  at(position) {
    return this.rows[position - this.top];
  }

  /** The position of a record, -1 when it is not here. */
  positionOf(id) {
    const index = this.rows.findIndex((row) => row.id === id);
    return index < 0 ? -1 : this.top + index;
  }

  /** The table shows positions `first` to `last`: get what is missing of them, and some around. */
  want(first, last) {
    if (!this.rows.length || this.isLoading) return;
    const end = this.top + this.rows.length;
    if (first > end + CHUNK || last < this.top - CHUNK) {
      this.jump(first);
      return;
    }
    if (last + MARGIN > end && !this.hasOldest) this.once('down', () => this.extendDown());
    if (first - MARGIN < this.top && !this.hasNewest) this.once('up', () => this.extendUp());
  }

  async once(what, work) {
    if (this.busy.has(what)) return;
    this.busy.add(what);
    const { signal } = this.stop;
    try {
      await work(signal);
    } catch (error) {
      if (!signal.aborted) this.problem = error;
    }
    if (signal.aborted) return;
    this.busy.delete(what);
    this.changed();
  }

  async extendDown() {
    const page = await this.page({ before: this.before });
    this.rows = this.rows.concat(page.flows);
    this.before = page.before;
    this.hasOldest = !page.more;
    if (this.hasOldest) this.total = this.top + this.rows.length;
    else this.total = Math.max(this.total, this.top + this.rows.length + 1);
    const over = this.rows.length - MOST;
    if (over > 0) {
      this.rows = this.rows.slice(over);
      this.top += over;
      this.hasNewest = false;
    }
  }

  // The rows just above ours. Ranges of numbers are asked for, wider ones where few records match.
  async extendUp() {
    const first = this.rows[0].id;
    let width = CHUNK;
    for (let turn = 0; turn < MOST_TRIES; turn += 1) {
      const page = await this.page({ after: first, before: first + width + 1 });
      if (page.more && width > CHUNK) {
        width = Math.max(CHUNK, Math.floor(width / 4));
        continue;
      }
      const isLast = first + width >= this.newest;
      this.rows = page.flows.concat(this.rows);
      this.top -= page.flows.length;
      if (isLast) this.hasNewest = true;
      if (isLast || this.top < 0) this.moveTop(0);
      if (page.flows.length || isLast) break;
      width *= 4;
    }
    this.shorten();
  }

  shorten() {
    if (this.rows.length <= MOST) return;
    this.rows = this.rows.slice(0, MOST);
    this.before = this.rows.at(-1).id;
    this.hasOldest = false;
  }

  // Begin a new run at about this position.
  jump(position) {
    clearTimeout(this.jumping);
    this.jumping = setTimeout(() => {
      this.once('jump', async () => {
        const from = Math.max(0, Math.min(position, this.total - 1) - MARGIN);
        const oldest = await this.oldest();
        const share = from / Math.max(1, this.total);
        const before = Math.round(this.newest + 1 - share * (this.newest - oldest + 1));
        const page = await this.page({ before });
        if (!page.flows.length) return;
        this.rows = page.flows;
        this.top = from;
        this.hasNewest = page.flows[0].id === this.newest;
        this.hasOldest = !page.more;
        this.before = page.before;
        if (this.hasNewest) this.moveTop(0);
        if (this.hasOldest) this.moveTop(this.total - this.rows.length);
      });
    }, 60);
  }

  // About the lowest number that the journal still has: numbers have no gaps but the deleted ones.
  async oldest() {
    if (this.lowest === undefined || this.lowest > this.newest) {
      const { count } = await get(['flows', 'count'], {}, this.stop.signal);
      this.lowest = Math.max(1, this.newestSeen - count + 1);
    }
    return this.lowest;
  }

  moveTop(position) {
    this.shift += position - this.top;
    this.total = Math.max(this.total + position - this.top, position + this.rows.length);
    this.top = position;
  }

  // A page may come without rows and yet not be the last: where only the records themselves tell whether they match,
  // the journal looks through so many at a time.
  async page(range) {
    const { signal } = this.stop;
    let page = null;
    const flows = [];
    for (let turn = 0; turn < MOST_TRIES; turn += 1) {
      page = await get('flows', { q: this.query, limit: CHUNK, ...range, before: page?.before ?? range.before }, signal);
      flows.push(...page.flows);
      if (flows.length || !page.more) break;
    }
    return { flows, more: page.more, before: page.before };
  }

  /** Whether the table stands at its top, where new rows go in. */
  follow(isFollowing) {
    if (isFollowing === this.isFollowing) return;
    this.isFollowing = isFollowing;
    if (isFollowing && (this.pending || !this.hasNewest)) this.search(this.query);
  }

  /** A record is new, or has changed. */
  add(row) {
    const index = this.rows.findIndex((one) => one.id === row.id);
    if (index >= 0) {
      this.rows[index] = row;
      this.changed();
      return;
    }
    if (this.isLoading) this.late.push(row);
    if (row.id <= this.newestSeen || this.isLoading) return;
    if (this.query) this.lookAgain();
    else this.insert([row]);
  }

  insert(rows) {
    if (!rows.length) return;
    this.newestSeen = rows[0].id;
    if (this.isFollowing && this.hasNewest) {
      this.rows = rows.concat(this.rows);
      this.newest = rows[0].id;
      this.total += rows.length;
      this.shorten();
    } else {
      this.pending += rows.length;
    }
    this.changed();
  }

  // Only the journal knows what a query means: ask it, once a second at most, for what is new.
  lookAgain() {
    if (this.looking) return;
    const { query } = this;
    this.looking = setTimeout(() => {
      this.looking = null;
      if (query !== this.query) return;
      this.once('look', async () => {
        const page = await this.page({ after: this.newestSeen });
        this.insert(page.flows);
      });
    }, LOOK_AGAIN_MS);
  }

  /** Stop all that runs. */
  close() {
    this.stop.abort();
    clearTimeout(this.looking);
    clearTimeout(this.jumping);
    this.looking = null;
  }
}
