// A value that components follow.

import { useEffect, useState } from './html.js';

/** A store: `get`, `set` (a value, or a function of the one before) and `follow` (gives a function that stops it). */
export function store(value) {
  const followers = new Set();
  return {
    get: () => value,
    set(next) {
      const changed = typeof next === 'function' ? next(value) : next;
      if (Object.is(changed, value)) return;
      value = changed;
      for (const follower of [...followers]) follower(value);
    },
    follow(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
  };
}

/** The store's value, in a component that is drawn again when it changes. */
export function useStore(from) {
  const [value, setValue] = useState(from.get());
  useEffect(() => {
    setValue(() => from.get());
    return from.follow((next) => setValue(() => next));
  }, [from]);
  return value;
}

/** A store that the browser remembers; `fallback` until something was chosen. */
export function remembered(name, fallback) {
  const key = `interpose.${name}`;
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(key));
  } catch {
    // Storage that is off or holds something else: begin with the fallback.
  }
  const made = store(kept === null ? fallback : kept);
  made.follow((value) => {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Not remembered then.
    }
  });
  return made;
}
