// How the instance stands: asked for once, then kept up by an event a second.

import { get } from './api.js';
import { follow, followGaps } from './events.js';
import { instance } from './session.js';
import { store } from './store.js';

const KEPT_S = 900;
const REST_S = 15;
const SERIES = {
  requests: 'requests_per_s', errors: 'errors_per_s', bytes_in: 'bytes_in_per_s', bytes_out: 'bytes_out_per_s',
  connections: 'connections', p50_ms: 'p50_ms', p95_ms: 'p95_ms', p99_ms: 'p99_ms', hit_ratio: 'hit_ratio',
  blocked: 'blocked', detected: 'detected',
};

/** The answer of GET overview, with its series growing; null before the first. */
export const overview = store(null);

let age = 0;

/** Begin to follow the instance. */
export function watchInstance() {
  load();
  followGaps(load);
  follow('second', (now) => {
    const before = overview.get();
    if (!before) return;
    age += 1;
    overview.set({ ...before, now, series: grown(before.series, now) });
    // Hosts and workers come with the whole answer only; nobody waits for them.
    if (age % REST_S === 0 && !document.hidden) load();
  });
}

/** Ask anew. */
export async function load() {
  const answer = await get('overview').catch(() => null);
  if (!answer) return;
  overview.set(answer);
  instance.set(answer.instance);
}

function grown(series, now) {
  const next = { at: [...series.at, Math.round(Date.now() / 1000)].slice(-KEPT_S) };
  for (const [name, from] of Object.entries(SERIES)) next[name] = [...(series[name] || []), now[from]].slice(-KEPT_S);
  return next;
}
