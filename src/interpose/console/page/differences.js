// What differs between two messages, or two texts. Pure: tested on its own.

const MOST_LINES = 2000;

/** [{where, before, after}] between two messages as the desk gives them (`content` apart). */
export function headDifferences(before, after) {
  const found = [];
  for (const name of ['method', 'url', 'status', 'reason']) {
    if ((before[name] ?? '') !== (after[name] ?? '')) found.push({ where: name, before: before[name] ?? null, after: after[name] ?? null });
  }
  const [old, now] = [grouped(before.fields), grouped(after.fields)];
  for (const name of new Set([...old.keys(), ...now.keys()])) {
    const [left, right] = [old.get(name), now.get(name)];
    if (left?.join('\n') !== right?.join('\n')) found.push({ where: name, before: left?.join('\n') ?? null, after: right?.join('\n') ?? null });
  }
  return found;
}

function grouped(fields) {
  const byName = new Map();
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    byName.set(key, [...(byName.get(key) || []), value]);
  }
  return byName;
}

/** Lines as [" " | "-" | "+", line]: those of both, only of the first, only of the second. */
export function lineDifferences(before, after) {
  const [old, now] = [before.split('\n'), after.split('\n')];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const middle = between(old.slice(start, old.length - end), now.slice(start, now.length - end));
  const same = (lines) => lines.map((line) => [' ', line]);
  return [...same(old.slice(0, start)), ...middle, ...same(end ? old.slice(-end) : [])];
}

// The longest common subsequence, where it is affordable; else all of the one and all of the other.
function between(old, now) {
  if (old.length * now.length > MOST_LINES * MOST_LINES || !old.length || !now.length) {
    return [...old.map((line) => ['-', line]), ...now.map((line) => ['+', line])];
  }
  const width = now.length + 1;
  const best = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      best[i * width + j] = old[i] === now[j]
        ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < old.length && j < now.length) {
    if (old[i] === now[j]) {
      lines.push([' ', old[i]]);
      i += 1;
      j += 1;
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) {
      lines.push(['-', old[i]]);
      i += 1;
    } else {
      lines.push(['+', now[j]]);
      j += 1;
    }
  }
  return [...lines, ...old.slice(i).map((line) => ['-', line]), ...now.slice(j).map((line) => ['+', line])];
}

/** Of many lines those that differ, with `around` lines of what is the same about them; null where more than one is left out. */
export function withContext(lines, around = 3) {
  const isNear = new Uint8Array(lines.length);
  lines.forEach(([sign], index) => {
    if (sign === ' ') return;
    for (let at = Math.max(0, index - around); at <= Math.min(lines.length - 1, index + around); at += 1) isNear[at] = 1;
  });
  const kept = [];
  lines.forEach((line, index) => {
    const isAlone = (index === 0 || isNear[index - 1]) && (index === lines.length - 1 || isNear[index + 1]);
    if (isNear[index] || isAlone) kept.push(line);
    else if (kept.at(-1) !== null) kept.push(null);
  });
  return kept;
}
