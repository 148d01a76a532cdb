// Who looks, and at what.

import { store } from './store.js';

/** {"token", "reviewer", "instance"} once the page has been let in, and what the overview says of the instance. */
export const session = store(null);
export const instance = store({ name: '', version: '', listeners: [] });

/** Who besides oneself looks at a held message. */
export const othersAt = (hold) => (hold.reviewers || []).filter((name) => name !== session.get()?.reviewer);

/** A line to type in a terminal that sends something through this instance. */
export function exampleLine() {
  const listeners = instance.get().listeners || [];
  const proxy = listeners.find((one) => one.role === 'proxy' || one.role === 'auto');
  if (proxy) return `curl -x ${url(proxy)} http://example.com/`;
  const server = listeners.find((one) => one.role === 'gateway') || listeners[0];
  return server ? `curl ${url(server)}/` : 'curl -x http://127.0.0.1:8080 http://example.com/';
}

const url = (listener) => (listener.url || `http://${listener.address || '127.0.0.1:8080'}`).replace(/\/$/, '');
