// The keyboard. A component declares what its keys do while it is shown; the last one shown is asked first, so that a
// dialog's Escape comes before its page's. Keys that are letters rest while somebody types.

import { useLayoutEffect, useRef } from './html.js';

const layers = [];

/** `bindings`: [{keys: ["j", "ArrowDown"], about: "Next row", run: (event) => …, evenTyping: false}, …]. */
export function useKeys(bindings, isOn = true) {
  const current = useRef(bindings);
  current.current = isOn ? bindings : [];
  // At once: the next key may come before the next picture does.
  useLayoutEffect(() => {
    const layer = () => current.current;
    layers.push(layer);
    return () => layers.splice(layers.indexOf(layer), 1);
  }, []);
}

/** What the keys do now, for whoever asks with "?": those of the view first. */
export const bindingsNow = () => [...layers].reverse().flatMap((layer) => layer()).filter((binding) => binding.about);

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function name(event) {
  const control = event.ctrlKey || event.metaKey ? 'Ctrl+' : '';
  return control + event.key;
}

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  const pressed = name(event);
  const typing = isTyping(event.target);
  const inDialog = document.querySelector('dialog[open]') !== null;
  for (const layer of [...layers].reverse()) {
    for (const binding of layer()) {
      if (!binding.keys.includes(pressed)) continue;
      if (typing && !binding.evenTyping) continue;
      if (inDialog && !binding.inDialog) continue;
      // Enter and the space bar belong to the button or link that has the focus.
      if ((pressed === 'Enter' || pressed === ' ') && event.target.closest?.('button, a, summary, label')) continue;
      event.preventDefault();
      binding.run(event);
      return;
    }
  }
});
