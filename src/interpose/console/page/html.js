// What components are made of. Text that comes from traffic reaches the page as children of a template, which Preact
// turns into text nodes; there is no other way in, and a test looks for those that would be.

import { createElement, Fragment, render } from './vendor/preact-11.2.0.js';
import htm from './vendor/htm-3.1.1.js';

export { Fragment, render };
export {
  useCallback, useEffect, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from './vendor/preact-hooks-11.2.0.js';

export const html = htm.bind(createElement);

/** The names that apply, as a class attribute: classes('row', chosen && 'chosen'). */
export const classes = (...names) => names.filter(Boolean).join(' ');
