// Values in words: sizes, times, counts.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 as "1.5 KiB". */
export function size(octets) {
  if (octets === null || octets === undefined) return '';
  let unit = 0;
  let value = octets;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** 1240 as "1.24 s". */
export function duration(ms) {
  if (ms === null || ms === undefined) return '';
  if (ms < 1) return ms === 0 ? '0 ms' : `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
}

/** 83 as "1:23": what is left of something. */
export function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(left / 3600);
  const pad = (number) => String(number).padStart(2, '0');
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  if (hours) return `${hours}:${pad(Math.floor((left % 3600) / 60))}:${pad(left % 60)}`;
  return `${Math.floor(left / 60)}:${pad(left % 60)}`;
}

/** Seconds since 1970 as the time of day, with milliseconds when asked. */
export function clock(seconds, withMs = false) {
  const at = new Date(seconds * 1000);
  const text = at.toLocaleTimeString('en-GB', { hour12: false });
  return withMs ? `${text}.${String(at.getMilliseconds()).padStart(3, '0')}` : text;
}

/** Seconds since 1970 as day and time. */
export const moment = (seconds) => `${new Date(seconds * 1000).toLocaleDateString('en-CA')} ${clock(seconds, true)}`;

/** Seconds since 1970 as the day of a year: "11-20". */
export const day = (seconds) => moment(seconds).slice(5, 10);

/** 90 as "1 min": how long something has lasted, roughly. */
export function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** (1, "answer") as "1 answer", (1200, "answer") as "1,200 answers". */
export const count = (number, noun) => `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

/** A rate with as many digits as it deserves. */
export const rate = (number) => (number >= 100 ? Math.round(number).toLocaleString('en') : String(Math.round(number * 10) / 10));

/** The class of a status, for its colour: "good", "moved", "bad", "broken" or "none". */
export function statusClass(status) {
  if (!status) return 'none';
  if (status < 300) return 'good';
  if (status < 400) return 'moved';
  return status < 500 ? 'bad' : 'broken';
}
