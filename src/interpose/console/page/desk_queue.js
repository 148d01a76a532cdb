// What waits at the desk, for every view: the desk shows it, the others show how many.

import { get } from './api.js';
import { alertTo } from './alerts.js';
import { follow, followGaps } from './events.js';
import { store } from './store.js';

const LIMIT = 1000; // the console lists no more

/** {rows: holds, newest first; waiting: how many wait; problem}. */
export const queue = store({ rows: [], waiting: 0, problem: null, isLoaded: false });

/** What the desk lists: "waiting", "decided" or "all". */
export const listed = store('waiting');

/** Begin to follow the desk. */
export function watchDesk() {
  load();
  listed.follow(load);
  followGaps(load);
  follow('hold', take);
}

/** Read the list anew. */
export async function load() {
  const state = listed.get();
  try {
    const answer = await get('desk', { state, limit: LIMIT });
    if (state === listed.get()) queue.set({ rows: answer.holds, waiting: answer.waiting, problem: null, isLoaded: true });
  } catch (problem) {
    queue.set((before) => ({ ...before, problem, isLoaded: true }));
  }
}

/** A hold is new or has changed. */
export function take(hold) {
  const before = queue.get();
  const known = before.rows.find((row) => row.id === hold.id);
  const isWaiting = hold.state === 'waiting';
  let { waiting } = before;
  if (isWaiting && !known) {
    waiting += 1;
    alertTo(hold);
  } else if (!isWaiting && known?.state === 'waiting') {
    waiting = Math.max(0, waiting - 1);
  }
  const isListed = listed.get() === 'all' || (listed.get() === 'waiting') === isWaiting;
  const others = before.rows.filter((row) => row.id !== hold.id);
  const at = known ? before.rows.indexOf(known) : 0;
  const rows = isListed ? [...others.slice(0, at), hold, ...others.slice(at)] : others;
  queue.set({ ...before, rows: rows.slice(0, LIMIT), waiting });
}
