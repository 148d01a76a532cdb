// What is asked of the console. Every path is relative to the page, so that it works below any prefix.

const BASE = new URL('api/v1/', document.baseURI);

/** An answer that is no success: `status` (0 when there was none), `data` as it was sent, and a sentence as message. */
export class Refusal extends Error {
  constructor(status, data) {
    super(sentence(status, data));
    this.status = status;
    this.data = data;
  }
}

let token = '';

/** Who this page is and what it looks at: {"token", "reviewer", "instance"}. Refusal 401 when it has not been let in. */
export async function openSession() {
  const session = await get('session');
  token = session.token;
  return session;
}

/** Be known to other reviewers by `name`. */
export const nameReviewer = (name) => send('POST', 'session', { reviewer: name });

/** Where something can be fetched by the browser itself. Parts of a path are given one by one, and so cannot escape. */
export function address(parts, query = {}) {
  const path = [].concat(parts).map(encodeURIComponent).join('/');
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') url.searchParams.set(name, value);
  }
  return url;
}

/** The JSON at `parts` ("flows", or ["flows", 7]). */
export async function get(parts, query, signal) {
  const answer = await ask(address(parts, query), { signal });
  return answer.json();
}

/** The text at `parts`. */
export async function getText(parts, query, signal) {
  const answer = await ask(address(parts, query), { signal });
  return answer.text();
}

/** The octets at `parts`, whether only a part of them was kept, and the tag that an edit has to show. */
export async function getOctets(parts, query, signal) {
  const answer = await ask(address(parts, query), { signal });
  const tag = (answer.headers.get('ETag') || '').replace(/^W\/|"/g, '');
  return { octets: new Uint8Array(await answer.arrayBuffer()), isCut: answer.headers.get('X-Content-Cut') === 'true', tag };
}

/** Change something: `content` as JSON (a Uint8Array as it is); the answer's JSON, or null when there is none. */
export async function send(method, parts, content, headers = {}) {
  const isOctets = content instanceof Uint8Array;
  const answer = await ask(address(parts), {
    method,
    headers: {
      'Interpose-Token': token,
      'Content-Type': isOctets ? 'application/octet-stream' : 'application/json',
      ...headers,
    },
    body: content === undefined ? '{}' : isOctets ? content : JSON.stringify(content),
  });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, { cache: 'no-store', credentials: 'same-origin', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(0, null);
  }
  if (answer.ok) return answer;
  throw new Refusal(answer.status, await answer.json().catch(() => null));
}

function sentence(status, data) {
  if (Array.isArray(data?.errors) && data.errors.length) return data.errors.join(' ');
  if (status === 0) return 'Interpose does not answer. Is it still running?';
  if (status === 401) return 'This page has not been let in, or no longer.';
  return `The console answered ${status}.`;
}
