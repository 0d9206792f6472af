// Function names: what part is path and what is name, how to make them shorter, which colour.

// The Go standard library and the JDK: told apart from what people wrote.
const STD = new Set(('bufio bytes compress container context crypto database debug embed encoding ' +
  'errors expvar flag fmt go hash html image index io iter log maps math mime net os path plugin ' +
  'reflect regexp slices sort strconv strings sync testing text time unicode unique unsafe')
  .split(' '));
const RUNTIME = /^(runtime[./]|internal\/runtime|syscall\.|internal\/poll|jdk\.|sun\.|libc|libpthread|__|\[kernel|entry_SYSCALL|do_syscall)/;

function escaped(c) {
  return `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

// Control and bidirectional characters would rewrite the line that they stand in, a name of blanks
// would leave it empty.
export function safe(name) {
  if (/^\s+$/.test(name))
    return name.replace(/\s/g, escaped);
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    escaped);
}

// {path, fn}: path is what may be quiet or left out, with its separator; path + fn is the name.
export function split(name) {
  const stop = name.search(/[[(<]/);
  const head = stop > 0 ? name.slice(0, stop) : name;
  const scope = head.lastIndexOf('::');
  if (scope > 0)
    return {path: name.slice(0, scope + 2), fn: name.slice(scope + 2)};
  const slash = head.lastIndexOf('/');
  const dot = name.indexOf('.', slash + 1);
  if (dot < 0 || dot + 1 >= name.length)
    return {path: name.slice(0, slash + 1), fn: name.slice(slash + 1)};
  const parts = head.slice(slash + 1).split('.');
  if (slash < 0 && parts.length > 3 && stop !== dot + 1) { // a.b.c.Class.method
    const at = parts.slice(0, -2).join('.').length + 1;
    return {path: name.slice(0, at), fn: name.slice(at)};
  }
  return {path: name.slice(0, dot + 1), fn: name.slice(dot + 1)};
}

// Ever shorter ways to write a name, as {path, fn}; the last is the barest.
export function forms(name) {
  const {path, fn} = split(name);
  const out = [{path, fn}];
  const add = (p, f) => {
    const last = out[out.length - 1];
    if (p.length + f.length < last.path.length + last.fn.length)
      out.push({path: p, fn: f});
  };
  const dirs = path.replace(/[./:]+$/, '').split('/');
  const end = path.slice(dirs.join('/').length);
  if (dirs.length > 2)
    add(`\u2026/${dirs.slice(-2).join('/')}${end}`, fn);
  let pkg = dirs[dirs.length - 1];
  if (/^v\d+$/.test(pkg) && dirs.length > 1)
    pkg = dirs[dirs.length - 2]; // the version belongs to the path
  if (path !== '')
    add(pkg + end, fn);
  add('', fn);
  const bare = fn.replace(/^\(\*?([^)]*)\)/, '$1').replace(/\[[^\]]*\]/g, '');
  add('', bare);
  const steps = bare.split('.').filter((s, i) => i === 0 || !/^(func\d*|\d+|gowrap\d+)$/.test(s));
  add('', steps[steps.length - 1]);
  return out;
}

function hash(s) {
  let h = 0x811c9dc5;
  for (let i = 0; i < s.length; i++)
    h = Math.imul(h ^ s.charCodeAt(i), 0x01000193);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b3c6d) >>> 0;
}

export function kind(name) {
  if (name === 'other')
    return 'other';
  if (RUNTIME.test(name))
    return 'runtime';
  const first = /^([a-z]+)[./]/.exec(name);
  if (/^javax?\./.test(name) || (first && STD.has(first[1])))
    return 'std';
  return 'own';
}

// The colour of a name's box: hue by package, so that what belongs together looks alike.
export function colour(name, dark) {
  const k = kind(name);
  if (k === 'runtime')
    return dark ? 'oklch(.72 .02 260)' : 'oklch(.845 .018 260)';
  const {path} = split(name);
  const h = hash(path === '' ? name : path);
  const hue = 15 + 30 * (h % 12);
  const pale = (h >>> 8) & 1;
  if (k === 'std')
    return dark ? `oklch(.72 .03 ${hue})` : `oklch(.84 .03 ${hue})`;
  if (dark)
    return pale ? `oklch(.77 .075 ${hue})` : `oklch(.72 .09 ${hue})`;
  return pale ? `oklch(.85 .075 ${hue})` : `oklch(.80 .09 ${hue})`;
}
