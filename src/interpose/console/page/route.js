// Where the page is: #/view/part/part?name=value.

import { store } from './store.js';

function read() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const parts = path.split('/').filter(Boolean).map(decoded);
  return { view: parts[0] || '', parts: parts.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = store(read());

addEventListener('hashchange', () => route.set(read()));

/** The link to a place: link("flows", [7], {q: "status:500"}). */
export function link(view, parts = [], query = {}) {
  const path = [view, ...parts].map(encodeURIComponent).join('/');
  const kept = Object.entries(query).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return `#/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ''}`;
}

/** Go there; `quietly` without a step that "back" would undo. */
export function go(view, parts, query, quietly = false) {
  const to = link(view, parts, query);
  if (to === location.hash) return;
  if (quietly) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  route.set(read());
}
