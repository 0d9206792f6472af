// Values in the units of their profile type: three significant digits and a thin unit.

const TIME = [['d', 86400e9], ['h', 3600e9], ['min', 60e9], ['s', 1e9], ['ms', 1e6], ['µs', 1e3],
  ['ns', 1]];
const BYTES = [['PiB', 2 ** 50], ['TiB', 2 ** 40], ['GiB', 2 ** 30], ['MiB', 2 ** 20],
  ['KiB', 2 ** 10], ['B', 1]];
const COUNT = [['P', 1e15], ['T', 1e12], ['G', 1e9], ['M', 1e6], ['k', 1e3], ['', 1]];
const NANOSECONDS = {nanoseconds: 1, microseconds: 1e3, milliseconds: 1e6, seconds: 1e9};

// "name:type:unit:period type:period unit" as an object.
export function parseType(id) {
  const [name = '', type = '', unit = '', periodType = '', periodUnit = ''] = id.split(':');
  return {id, name, type, unit, periodType, periodUnit};
}

// What the pickers call a type: its sample type, and its kind of unit where that says more.
export function typeLabel(id) {
  const t = parseType(id);
  const what = t.unit in NANOSECONDS ? 'time' : t.unit === 'bytes' ? 'bytes' : 'count';
  const full = t.name === 'process_cpu' || t.name === t.type ? t.type : `${t.name} ${t.type}`;
  return `${full} ${what}`;
}

// At most three significant digits, with the browser's decimal sign left at a point.
export function digits(v) {
  const a = Math.abs(v);
  if (a === 0)
    return '0';
  const text = a >= 100 ? String(Math.round(a)) : a.toPrecision(3);
  return (v < 0 ? '\u2212' : '') + text;
}

function pick(v, ladder, base) {
  const a = Math.abs(v) * base;
  for (const [unit, size] of ladder) {
    // 999.6 of a unit would be written as 1000 of it: the next one up is right already.
    if (a >= size * 0.9995 || size === 1) {
      const n = v * base / size;
      return [size === 1 && Number.isInteger(n) ? String(n) : digits(n), unit];
    }
  }
  return [digits(v), ''];
}

// [digits, unit] of a value.
export function format(v, unit) {
  if (unit in NANOSECONDS)
    return pick(v, TIME, NANOSECONDS[unit]);
  if (unit === 'bytes')
    return pick(v, BYTES, 1);
  const [n, scale] = pick(v, COUNT, 1);
  return [n, scale];
}

export function text(v, unit) {
  const [n, u] = format(v, unit);
  return u === '' ? n : `${n} ${u}`;
}

// The value per second of the window, as [digits, words]: cores for time, else a rate.
export function rate(v, unit, seconds) {
  if (!(seconds > 0))
    return ['0', ''];
  if (unit in NANOSECONDS) {
    const n = v * NANOSECONDS[unit] / 1e9 / seconds;
    return [digits(n), n === 1 ? 'core' : 'cores'];
  }
  const [n, u] = format(v / seconds, unit);
  return [n, `${u}/s`];
}

export function percent(part, whole) {
  if (!(whole > 0))
    return '0 %';
  const p = 100 * part / whole;
  if (p > 0 && p < 0.1)
    return '<0.1 %';
  return `${p.toFixed(1)} %`;
}

const two = n => String(n).padStart(2, '0');

// "16:04:00" and "2026-11-20" of a time in ms; zone "utc" or "local".
export function clock(ms, zone) {
  const d = new Date(ms);
  const [h, m, s] = zone === 'utc' ? [d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()]
    : [d.getHours(), d.getMinutes(), d.getSeconds()];
  return `${two(h)}:${two(m)}:${two(s)}`;
}

export function day(ms, zone) {
  const d = new Date(ms);
  const [y, m, n] = zone === 'utc' ? [d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate()]
    : [d.getFullYear(), d.getMonth(), d.getDate()];
  return `${y}-${two(m + 1)}-${two(n)}`;
}

// A range in words; the day of its end only when that is another one.
export function between(a, b, zone) {
  const last = day(b, zone) === day(a, zone) ? '' : `${day(b, zone)} `;
  return `${day(a, zone)} ${clock(a, zone)} \u2013 ${last}${clock(b, zone)} ${zoneName(zone)}`;
}

export function zoneName(zone) {
  return zone === 'utc' ? 'UTC' : 'local';
}

// "30 min" of a length in ms.
export function length(ms) {
  for (const [unit, size] of [['d', 86400e3], ['h', 3600e3], ['min', 60e3], ['s', 1e3]])
    if (ms >= size)
      return `${digits(ms / size).replace(/\.?0+$/, m => m.includes('.') ? '' : m)} ${unit}`;
  return `${ms} ms`;
}

const OFFSETS = {s: 1e3, m: 60e3, min: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3, y: 365 * 86400e3};

// A point in time as the server's parameters write them, in ms; NaN for what is none.
export function when(textIn, now, zone) {
  const t = textIn.trim();
  if (t === 'now' || t === '')
    return now;
  const rel = /^now\s*([+-])\s*((?:\d+\s*(?:s|min|m|h|d|w|y)\s*)+)$/.exec(t);
  if (rel) {
    let sum = 0;
    for (const [, n, u] of rel[2].matchAll(/(\d+)\s*(s|min|m|h|d|w|y)/g))
      sum += Number(n) * OFFSETS[u];
    return now + (rel[1] === '-' ? -sum : sum);
  }
  if (/^\d{13}$/.test(t))
    return Number(t);
  if (/^\d{9,11}$/.test(t))
    return Number(t) * 1000;
  const plain = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)$/.exec(t);
  if (plain)
    return Date.parse(`${plain[1]}T${plain[2]}${zone === 'utc' ? 'Z' : ''}`);
  return Date.parse(t);
}
