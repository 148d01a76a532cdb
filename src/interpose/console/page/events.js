// What happens, as it happens: one stream of server-sent events for the whole page.

import { address } from './api.js';
import { store } from './store.js';

const KINDS = ['flow', 'hold', 'spool', 'second', 'dropped'];
const AGAIN_MS = 2000;

/** "connecting", "live" or "lost". */
export const liveness = store('connecting');

const followers = new Map(KINDS.map((kind) => [kind, new Set()]));
const returns = new Set();
let source = null;
let wasLive = false;

/** Call `follower` with the data of each event of this kind; gives a function that stops it. */
export function follow(kind, follower) {
  followers.get(kind).add(follower);
  return () => followers.get(kind).delete(follower);
}

/** Call `follower` when events may have been missed: what was shown may be old. */
export function followGaps(follower) {
  returns.add(follower);
  return () => returns.delete(follower);
}

/** Begin to listen. The browser connects again by itself, and resumes where it was; we do when it has given up. */
export function listen() {
  source = new EventSource(address('events'));
  source.onopen = () => {
    liveness.set('live');
    if (wasLive) announceGap();
    wasLive = true;
  };
  source.onerror = () => {
    liveness.set('lost');
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      for (const follower of [...followers.get(kind)]) follower(data);
      if (kind === 'dropped') announceGap();
    });
  }
}

function announceGap() {
  for (const follower of [...returns]) follower();
}
