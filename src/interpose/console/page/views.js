// The views, in the order of the navigation: one module each, loaded when it is first looked at.

export const VIEWS = [
  { name: 'flows', label: 'Flows', about: 'what has passed', load: () => import('./flows.js') },
  { name: 'desk', label: 'Desk', about: 'what waits for a decision', load: () => import('./desk.js') },
  { name: 'spool', label: 'Spool', about: 'files on their way', load: () => import('./spool.js') },
  { name: 'overview', label: 'Overview', about: 'how it goes', load: () => import('./overview.js') },
  { name: 'upstreams', label: 'Upstreams', about: 'the servers behind, and how they stand', load: () => import('./upstreams.js') },
  { name: 'cache', label: 'Cache', about: 'what is stored of answers', load: () => import('./cache.js') },
  { name: 'firewall', label: 'Firewall', about: 'what rules matched, and what others would', load: () => import('./firewall.js') },
  { name: 'access', label: 'Access', about: 'who may go where, and why', load: () => import('./access.js') },
  { name: 'experiments', label: 'Experiments', about: 'which variant is better', load: () => import('./experiments.js') },
];
