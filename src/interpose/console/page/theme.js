// Light, dark, or as the system has it.

import { remembered } from './store.js';

export const THEMES = ['auto', 'light', 'dark'];
export const theme = remembered('theme', 'auto');

const apply = (value) => {
  if (value === 'auto') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.setAttribute('data-theme', value);
};

apply(theme.get());
theme.follow(apply);

/** The colour that a custom property stands for now, for what is drawn and not styled. */
export function colour(name) {
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
