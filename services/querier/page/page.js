// The page: what is asked stands in the address, what is shown follows from it.
//   query string: query, from, until, maxNodes (as /pyroscope/render takes them)
//   fragment: v view, sel selection (ms-ms), f focus (path of names), q search, qm its mode
// Everything that comes from outside goes into text nodes and canvases only.

import {ApiError, call, parse, selector} from './api.js';
import {Flame} from './flame.js';
import * as model from './model.js';
import {safe, split} from './names.js';
import {Table} from './table.js';
import {step as barStep, Timeline} from './timeline.js';
import * as units from './units.js';

const $ = id => document.getElementById(id);
const QUICK = [['5 min', 'now-5m'], ['15 min', 'now-15m'], ['30 min', 'now-30m'], ['1 h', 'now-1h'],
  ['3 h', 'now-3h'], ['6 h', 'now-6h'], ['12 h', 'now-12h'], ['24 h', 'now-24h']];
const MAX_NODES = 16384;
const KEYS = [['arrows', 'parent, widest child, neighbours'], ['Enter, f', 'focus'],
  ['Esc, Backspace', 'one step back'], ['0', 'all'], ['/', 'search'], ['n, N', 'next, previous match'],
  ['c', 'copy the name'], ['1 2 3', 'flame, both, table'], ['[ ]', 'earlier, later'],
  ['z', 'selection as range, or zoom out'], ['u', 'ask again'], ['?', 'these keys']];

const state = {
  type: '', matchers: [], from: 'now-1h', until: 'now', maxNodes: MAX_NODES, other: [],
  view: 'both', sel: null, focus: [], q: '', regex: false, sensitive: false, sort: '',
};
let zone = localStorage.getItem('zone') === 'local' ? 'local' : 'utc';
let window_ = [0, 0];       // the range in ms of the shown answer
let tree = null, catalogue = new Map(), sequence = 0, running = null, live = 0, timer = 0;
let answeredAt = 0, status = {};

/* --- the address ------------------------------------------------------------------------------ */

function readAddress() {
  const query = new URLSearchParams(location.search);
  const hash = new URLSearchParams(location.hash.slice(1));
  const q = parse(query.get('query') || '');
  state.type = q ? q.type : '';
  state.matchers = q ? q.matchers : [];
  state.from = query.get('from') || 'now-1h';
  state.until = query.get('until') || 'now';
  const nodes = Number(query.get('maxNodes'));
  state.maxNodes = Number.isInteger(nodes) && nodes > 0 ? nodes : MAX_NODES;
  state.other = [...query].filter(([k]) => !['query', 'from', 'until', 'maxNodes'].includes(k));
  state.view = ['flame', 'both', 'table'].includes(hash.get('v')) ? hash.get('v') : 'both';
  const sel = /^(\d+)-(\d+)$/.exec(hash.get('sel') || '');
  state.sel = sel && Number(sel[1]) < Number(sel[2]) ? [Number(sel[1]), Number(sel[2])] : null;
  state.q = hash.get('q') || '';
  state.regex = (hash.get('qm') || '').includes('r');
  state.sensitive = (hash.get('qm') || '').includes('c');
  state.sort = hash.get('s') || '';
  try {
    const f = JSON.parse(hash.get('f') || '[]');
    state.focus = Array.isArray(f) ? f.map(String) : [];
  } catch {
    state.focus = [];
  }
}

function address() {
  const query = new URLSearchParams(state.other);
  if (state.type !== '')
    query.set('query', state.type + selector(state.matchers));
  query.set('from', state.from);
  query.set('until', state.until);
  if (state.maxNodes !== MAX_NODES)
    query.set('maxNodes', String(state.maxNodes));
  const hash = new URLSearchParams();
  if (state.view !== 'both')
    hash.set('v', state.view);
  if (state.sel)
    hash.set('sel', state.sel.join('-'));
  if (state.focus.length > 0)
    hash.set('f', JSON.stringify(state.focus));
  if (state.q !== '')
    hash.set('q', state.q);
  if (state.regex || state.sensitive)
    hash.set('qm', (state.regex ? 'r' : '') + (state.sensitive ? 'c' : ''));
  if (state.sort !== '')
    hash.set('s', state.sort);
  const fragment = hash.toString();
  return `?${query}${fragment === '' ? '' : `#${fragment}`}`;
}

function remember(push) {
  history[push ? 'pushState' : 'replaceState'](null, '', address());
}

/* --- asking ------------------------------------------------------------------------------------ */

function service() {
  const m = state.matchers.find(x => x.name === 'service_name' && x.op === '=');
  return m ? m.value : '';
}

function range() {
  const now = Date.now();
  const a = units.when(state.from, now, zone), b = units.when(state.until, now, zone);
  return Number.isFinite(a) && Number.isFinite(b) && a < b ? [a, b] : [now - 3600e3, now];
}

// Services and their types in the range; fills both pickers.
async function askCatalogue(signal) {
  const [start, end] = range();
  const {body, completeness} = await call('Series', {
    matchers: [], labelNames: ['service_name', '__profile_type__'], start: String(start),
    end: String(end),
  }, signal);
  catalogue = new Map();
  for (const set of body.labelsSet || []) {
    const labels = Object.fromEntries((set.labels || []).map(l => [l.name, l.value || '']));
    const name = labels.service_name || '', type = labels.__profile_type__ || '';
    if (name === '' || type === '')
      continue;
    if (!catalogue.has(name))
      catalogue.set(name, []);
    catalogue.get(name).push(type);
  }
  return completeness;
}

const rank = id => {
  const t = units.parseType(id);
  return (t.name === 'process_cpu' ? (t.type === 'cpu' ? 0 : 1) : t.type.startsWith('inuse') ? 2
    : t.name === 'memory' ? 3 : 4);
};

// What the address leaves open is chosen here: first service by name, cpu before memory.
function fillDefaults() {
  const names = [...catalogue.keys()].sort();
  if (service() === '' && state.matchers.length === 0 && names.length > 0)
    state.matchers = [{name: 'service_name', op: '=', value: names[0]}];
  const types = (catalogue.get(service()) || []).slice().sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  if (state.type === '' && types.length > 0)
    state.type = types[0];
  options($('service'), names.map(n => [n, n]), service());
  options($('type'), types.map(t => [t, units.typeLabel(t)]), state.type);
}

function options(select, list, value) {
  if (value !== '' && !list.some(([v]) => v === value))
    list = [[value, select.id === 'type' ? units.typeLabel(value) : value], ...list];
  if (list.length === 0)
    list = [['', 'none yet']];
  select.replaceChildren(...list.map(([v, text]) => {
    const o = new Option(safe(text), v);
    o.selected = v === value;
    return o;
  }));
}

async function askTimeline([start, end], signal) {
  const stepS = barStep(start, end);
  const a = Math.floor(start / 1000 / stepS) * stepS * 1000;
  const b = Math.ceil(end / 1000 / stepS) * stepS * 1000;
  const {body} = await call('SelectSeries', {
    profileTypeID: state.type, labelSelector: selector(state.matchers), start: String(a),
    end: String(b), step: stepS,
  }, signal);
  const series = (body.series || [])[0];
  // A point speaks of the step before it: that of the range's start lies outside.
  const points = ((series && series.points) || []).map(
    p => ({time: Number(p.timestamp || 0), value: Number(p.value || 0)})).filter(p => p.time > start);
  timeline.show(points, [start, end], stepS, units.parseType(state.type).unit, zone);
}

async function askTree([start, end], signal) {
  const shown = state.sel || [start, end];
  const answer = await call('SelectMergeStacktraces', {
    profileTypeID: state.type, labelSelector: selector(state.matchers),
    start: String(shown[0]), end: String(shown[1]), maxNodes: String(state.maxNodes),
  }, signal);
  let read;
  try {
    read = model.read(answer.body.flamegraph || {});
  } catch (e) {
    throw new ApiError(200, 'damaged', `The answer was damaged at ${e.message}. Nothing of it is shown.`);
  }
  return {read, shown, completeness: answer.completeness, ms: answer.ms,
    total: (answer.body.flamegraph || {}).total || '0'};
}

// Ask for everything that the state says, and show it; an older question is dropped.
async function ask(push) {
  const mine = ++sequence;
  if (running)
    running.abort();
  running = new AbortController();
  const {signal} = running;
  if (push !== undefined)
    remember(push);
  const late = setTimeout(() => { $('loading').hidden = false; }, 150);
  const slow = setTimeout(() => headline(`asking for ${units.length(range()[1] - range()[0])}\u2026`), 1000);
  try {
    const known = await askCatalogue(signal);
    if (catalogue.size === 0 && await nothingEver(signal))
      return;
    fillDefaults();
    if (push !== undefined || location.search === '')
      remember(false);
    showControls();
    if (state.type === '') {
      banner(doubtOf(known));
      emptyRange();
      return;
    }
    const asked = range();
    const [answer] = await Promise.all([askTree(asked, signal), askTimeline(asked, signal)]);
    if (mine === sequence)
      showAnswer(answer, asked);
  } catch (e) {
    if (mine === sequence && e.name !== 'AbortError')
      showError(e);
  } finally {
    clearTimeout(late);
    clearTimeout(slow);
    if (mine === sequence) {
      $('loading').hidden = true;
      again();
    }
  }
}

// Who is away may hold what there is.
async function nothingEver(signal) {
  const {body, completeness} = await call('GetProfileStats', {}, signal);
  if (body.dataIngested || doubtOf(completeness) !== null)
    return false;
  showFirst();
  return true;
}

// Live: the next question comes when the last was answered, while somebody looks.
function again() {
  clearTimeout(timer);
  const wait = $('first').hidden ? live : 5;
  if (wait > 0)
    timer = setTimeout(() => { if (document.hidden) again(); else ask(); }, wait * 1000);
}

/* --- showing ----------------------------------------------------------------------------------- */

function headline(text) {
  $('headline').replaceChildren(document.createTextNode(text));
}

function piece(cls, text) {
  const e = document.createElement('span');
  e.className = cls;
  e.textContent = text;
  return e;
}

function showControls() {
  document.body.classList.remove('waiting');
  $('first').hidden = true;
  $('main').hidden = false;
  const [a, b] = range();
  const quick = QUICK.find(([, from]) => from === state.from && state.until === 'now');
  $('range').replaceChildren(piece('strong', quick ? `Last ${quick[0]}` : 'From'),
    piece('quiet', ` ${units.between(a, b, zone)}`));
  $('zone').textContent = units.zoneName(zone);
  $('selected').hidden = state.sel === null;
  if (state.sel) {
    const x = document.createElement('button');
    x.textContent = '×';
    x.title = 'show the whole range';
    x.setAttribute('aria-label', x.title);
    x.addEventListener('click', () => { state.sel = null; ask(true); });
    $('selected').replaceChildren(piece('', `${units.clock(state.sel[0], zone)} \u2013 ${units.clock(state.sel[1], zone)}`),
      piece('quiet', ` ${units.length(state.sel[1] - state.sel[0])} selected `), x);
  }
  chips();
  for (const t of document.querySelectorAll('.tabs [data-view]')) {
    t.setAttribute('aria-selected', String(t.dataset.view === state.view));
    t.tabIndex = t.dataset.view === state.view ? 0 : -1;
  }
  $('panes').dataset.view = state.view;
  $('search').value = state.q;
  $('regex').setAttribute('aria-pressed', String(state.regex));
  $('case').setAttribute('aria-pressed', String(state.sensitive));
  document.title = service() === '' ? 'Emberring' : `${safe(service())} ${units.typeLabel(state.type)} - Emberring`;
}

function chips() {
  $('chips').replaceChildren(...state.matchers.filter(m => !(m.name === 'service_name' && m.op === '='))
    .map(m => {
      const c = piece('chip', '');
      const x = document.createElement('button');
      x.textContent = '×';
      x.setAttribute('aria-label', `remove ${m.name}`);
      x.addEventListener('click', () => {
        state.matchers = state.matchers.filter(o => o !== m);
        ask(true);
      });
      c.append(piece('mono', `${safe(m.name)} ${m.op} "${safe(m.value)}" `), x);
      return c;
    }));
}

// The completeness of an answer when it is not certain, else null.
function doubtOf(c) {
  return c !== null && !c.complete ? c : null;
}

function verdict(c) {
  if (c === null)
    return [];
  return [c.complete ? piece('ok', '\u2713 complete') : piece('warn', '\u25b3 may be incomplete')];
}

function showAnswer(a, asked) {
  const t = units.parseType(state.type);
  const path = state.focus;
  tree = a.read;
  window_ = a.shown;
  answeredAt = Date.now();
  const seconds = (a.shown[1] - a.shown[0]) / 1000;
  const total = tree.total[0] || 0, cut = model.cutAway(tree);
  const [n, u] = units.format(total, t.unit), [rn, ru] = units.rate(total, t.unit, seconds);
  const doubt = doubtOf(a.completeness);
  const least = doubt !== null && !doubt.reasons.includes('repeats') ? 'at least ' : '';
  $('headline').replaceChildren(piece('', least), piece('strong', `${n} ${u}`.trim()),
    piece('', ` ${t.type === 'cpu' ? 'CPU' : t.type}`),
    // What is in use is a level, not a flow: per second it would mean nothing.
    ...(/^(inuse|goroutine)/.test(t.type) ? [] : [piece('', ' = '), piece('strong', `${rn} ${ru}`)]),
    ...verdict(a.completeness));
  banner(doubt);
  flame.show(tree, t.unit);
  table.show(tree, model.functions(tree), t.unit,
    cut > 0 ? `from the shown tree, ${units.percent(cut, total)} missing`
      : doubt !== null ? 'from what was counted' : 'exact, not cut');
  timeline.select(state.sel);
  const empty = tree.count <= 1 && total === 0;
  $('nothing').hidden = !empty;
  if (empty)
    emptyRange();
  status = {nodes: Math.max(0, tree.count - 1), cut, total, ms: a.ms};
  search();
  setFocus(model.find(tree, path), false);
  showStatus();
  document.body.classList.remove('stale');
}

async function emptyRange() {
  const [a, b] = range();
  const filtered = state.type !== '' && catalogue.size > 0;
  const text = filtered ? 'Nothing in this range matches the service, the type and the filters.'
    : `No profile between ${units.clock(a, zone)} and ${units.clock(b, zone)} ${units.zoneName(zone)}.`;
  $('nothing').hidden = false;
  $('nothing').textContent = text;
  showControls();
  if (state.type === '')
    headline('');
  try {
    const {body} = await call('GetProfileStats', {});
    const newest = Number(body.newestProfileTime || 0);
    if (filtered || !newest || $('nothing').hidden)
      return;
    const go = document.createElement('button');
    go.className = 'box';
    go.textContent = 'Go there';
    go.addEventListener('click', () => {
      state.from = String(newest - 1800e3);
      state.until = String(newest + 1000);
      state.sel = null;
      ask(true);
    });
    $('nothing').replaceChildren(piece('', `${text} The newest is from ${units.day(newest, zone)} ${units.clock(newest, zone)}. `), go);
  } catch {
    // The line above says what is known.
  }
}

function banner(doubt) {
  const b = $('banner');
  b.hidden = doubt === null;
  b.className = 'doubt';
  if (doubt === null)
    return;
  const silent = doubt.silent.length > 0 ? ` ${doubt.silent.map(safe).join(' and ')} did not answer. Profiles that only ${doubt.silent.length === 1 ? 'it holds' : 'they hold'} would be missing.` : '';
  b.replaceChildren(piece('strong', 'This answer may be incomplete.'), piece('', silent),
    piece('', doubt.reasons.includes('repeats') ? '' : ' Nothing is counted twice.'),
    piece('quiet', doubt.reasons.length > 0 ? ` reason: ${doubt.reasons.map(safe).join(', ')} ` : ' '),
    button('Ask again', () => ask()));
}

function button(text, act) {
  const e = document.createElement('button');
  e.className = 'box';
  e.textContent = text;
  e.addEventListener('click', act);
  return e;
}

function showError(e) {
  const b = $('banner');
  $('first').hidden = true;
  $('main').hidden = false;
  showControls();
  b.hidden = false;
  b.className = 'error';
  const lost = !(e instanceof ApiError);
  const words = lost ? 'No connection to the server. What you see is from before.'
    : e.code === 'damaged' ? e.message
      : e.status === 401 ? 'This server wants a tenant.'
        : e.status === 429 ? 'Too many queries.'
          : e.status >= 500 ? 'No answer.' : 'The query was refused.';
  b.replaceChildren(piece('strong', words), piece('mono', lost || e.code === 'damaged' ? ' ' : ` ${safe(e.message)} `),
    button('Ask again', () => ask()));
  if (state.from !== 'now-1h' || state.until !== 'now')
    b.append(button('Use last 1 h', () => {
      state.from = 'now-1h';
      state.until = 'now';
      state.sel = null;
      ask(true);
    }));
  if (tree !== null)
    document.body.classList.add('stale');
}

function showStatus() {
  if (!$('first').hidden) {
    $('status').textContent = 'Waiting for the first profile. Looks every 5 s while this tab is visible.';
    return;
  }
  if (answeredAt === 0)
    return;
  const age = Math.round((Date.now() - answeredAt) / 1000);
  $('status').textContent = [`${status.nodes.toLocaleString('en')} nodes`,
    `${units.percent(status.cut, status.total)} in \u201cother\u201d`,
    `answered in ${Math.round(status.ms)} ms`, `${age} s ago`].join(' \u00b7 ');
}

/* --- focus, selection, search ------------------------------------------------------------------ */

function setFocus(i, push) {
  if (tree === null || tree.count === 0)
    return;
  flame.setFocus(i);
  state.focus = model.path(tree, i);
  flame.select(i === 0 ? -1 : i);
  if (push !== undefined && push)
    remember(true);
  crumbs(i);
  details(i);
  table.select(i === 0 ? -1 : tree.name[i]);
  found();
}

function select(i) {
  flame.select(i);
  details(i);
  table.select(i > 0 ? tree.name[i] : -1);
}

function crumbs(i) {
  const t = units.parseType(state.type).unit;
  const nodes = [];
  for (let n = i; n > 0; n = tree.parent[n])
    nodes.unshift(n);
  const list = nodes.length > 6 ? [...nodes.slice(0, 2), -1, ...nodes.slice(-3)] : nodes;
  const all = document.createElement('button');
  all.append(piece('mono', 'all'), piece('quiet mono', ` ${units.text(tree.total[0] || 0, t)}`));
  all.addEventListener('click', () => setFocus(0, true));
  const out = [all];
  for (const n of list) {
    out.push(piece('quiet', ' \u203a '));
    if (n < 0) {
      out.push(piece('quiet', '\u2026'));
      continue;
    }
    const b = document.createElement('button');
    const {path, fn} = split(tree.names[tree.name[n]]);
    b.append(piece('mono', safe(fn || path)));
    b.title = safe(tree.names[tree.name[n]]);
    b.addEventListener('click', () => setFocus(n, true));
    out.push(b);
  }
  if (i > 0) {
    const x = button('×', () => setFocus(0, true));
    x.className = 'quiet';
    x.setAttribute('aria-label', 'show all');
    out.push(x);
  }
  $('crumbs').replaceChildren(...out);
}

function sums(i) {
  const unit = units.parseType(state.type).unit;
  const all = tree.total[0], view = tree.total[flame.focus];
  const up = tree.parent[i] >= 0 ? tree.total[tree.parent[i]] : all;
  return {unit, all, view, up, self: tree.self[i], total: tree.total[i]};
}

function details(i) {
  const d = $('details');
  if (tree === null || tree.count === 0 || i < 0) {
    d.replaceChildren(piece('quiet', 'Click a box to focus on it; point at one to read it.'));
    return;
  }
  const s = sums(i), name = i === 0 ? 'all' : tree.names[tree.name[i]];
  const {path, fn} = i === 0 ? {path: '', fn: 'all'} : split(name);
  const bar = piece('bar-of', '');
  const part = document.createElement('b');
  part.style.width = `${s.view > 0 ? 100 * s.total / s.view : 0}%`;
  bar.append(part);
  const label = piece('name mono', '');
  label.append(piece('quiet', safe(path)), piece('', safe(fn)));
  label.title = safe(name);
  d.replaceChildren(label, bar, piece('', 'self '), piece('strong', units.text(s.self, s.unit)),
    piece('', '\u2002 total '), piece('strong', units.text(s.total, s.unit)),
    piece('quiet', ` = ${units.percent(s.total, s.all)} of all \u00b7 ${units.percent(s.total, s.view)} of view \u00b7 ${units.percent(s.total, s.up)} of parent`),
    piece('gap', ''));
  for (const [key, words] of [['f', 'focus'], ['c', 'copy'], ['0', 'all']]) {
    const b = document.createElement('button');
    b.className = 'quiet key';
    const k = document.createElement('kbd');
    k.textContent = key;
    b.append(k, piece('', words));
    b.addEventListener('click', () => letter(key, b));
    d.append(b);
  }
}

function compile() {
  if (state.q === '')
    return null;
  try {
    const plain = state.q.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return new RegExp(state.regex ? state.q : plain, state.sensitive ? '' : 'i');
  } catch {
    return undefined; // what was found before stays
  }
}

let hits = null, matches = [], matchAt = -1;

function search() {
  const re = compile();
  $('search').setAttribute('aria-invalid', String(re === undefined));
  if (re === undefined || tree === null)
    return;
  hits = re === null ? null : Uint8Array.from(tree.names, (n, i) => (i > 0 && re.test(n) ? 1 : 0));
  matches = [];
  matchAt = -1;
  if (hits)
    for (let i = 1; i < tree.count; i++)
      if (hits[tree.name[i]])
        matches.push(i);
  matches.sort((a, b) => tree.total[b] - tree.total[a]);
  flame.hits = hits;
  flame.redraw();
  table.filter(hits);
  found();
}

function found() {
  const some = hits !== null;
  $('previous').hidden = $('next').hidden = !some || matches.length === 0;
  if (!some) {
    $('found').textContent = '';
    return;
  }
  let names = 0;
  for (const h of hits)
    names += h;
  const sum = model.weigh(tree, hits);
  $('found').textContent = names === 0 ? 'no match'
    : `${units.percent(sum, tree.total[0])} of all, ${names.toLocaleString('en')} ${names === 1 ? 'name' : 'names'}`
      + (matchAt >= 0 ? `, ${matchAt + 1} of ${matches.length}` : '');
}

function step(by) {
  if (matches.length === 0)
    return;
  matchAt = (matchAt + by + matches.length) % matches.length;
  const i = matches[matchAt];
  // Zoom out or in until the match can be seen.
  let f = flame.focus;
  const inside = n => tree.x[n] <= tree.x[i] && tree.x[i] + tree.total[i] <= tree.x[n] + tree.total[n] && tree.row[n] <= tree.row[i];
  while (!inside(f))
    f = tree.parent[f];
  while (f !== i && tree.total[i] / tree.total[f] * flame.width < 40) {
    const [a, b] = model.children(tree, f);
    let next = -1;
    for (let c = a; c < b; c++)
      if (inside(c))
        next = c;
    if (next < 0)
      break;
    f = next;
  }
  setFocus(f, true);
  select(i);
  found();
}

/* --- first run --------------------------------------------------------------------------------- */

const SDKS = {
  Go: u => `// go get github.com/grafana/pyroscope-go\npyroscope.Start(pyroscope.Config{\n    ApplicationName: "checkout",\n    ServerAddress:   "${u}",\n    Tags:            map[string]string{"region": "eu-west-1"},\n})`,
  Java: u => `# the agent's jar beside your own\nPYROSCOPE_APPLICATION_NAME=checkout \\\nPYROSCOPE_SERVER_ADDRESS=${u} \\\n  java -javaagent:pyroscope.jar -jar checkout.jar`,
  Python: u => `# pip install pyroscope-io\nimport pyroscope\npyroscope.configure(\n    application_name="checkout",\n    server_address="${u}",\n    tags={"region": "eu-west-1"},\n)`,
  'Node.js': u => `// npm install @pyroscope/nodejs\nconst Pyroscope = require('@pyroscope/nodejs');\nPyroscope.init({\n  appName: 'checkout',\n  serverAddress: '${u}',\n});\nPyroscope.start();`,
  Ruby: u => `# gem install pyroscope\nrequire 'pyroscope'\nPyroscope.configure do |config|\n  config.application_name = 'checkout'\n  config.server_address   = '${u}'\nend`,
  Rust: u => `// cargo add pyroscope pyroscope_pprofrs\nlet agent = PyroscopeAgent::builder("${u}", "checkout")\n    .backend(pprof_backend(PprofConfig::new().sample_rate(100)))\n    .build()?;\nlet running = agent.start()?;`,
  Alloy: u => `pyroscope.write "emberring" {\n  endpoint {\n    url = "${u}"\n  }\n}`,
};
let sdk = 'Go';

function showFirst() {
  document.body.classList.add('waiting');
  $('main').hidden = true;
  $('first').hidden = false;
  options($('service'), [], '');
  options($('type'), [], '');
  if ($('push').value === '')
    $('push').value = new URL('.', location.href).href.replace(/\/$/, '');
  snippets();
  showStatus();
  lights().catch(() => {});
}

// What the querier itself knows of the cluster; nothing when the pages of that are on another port.
async function lights() {
  const answer = await fetch('ring', {headers: {Accept: 'application/json'}});
  if (!answer.ok)
    return;
  $('pages').replaceChildren(...[['ring', 'Ring'], ['memberlist', 'Memberlist']].map(([href, text]) => {
    const a = document.createElement('a');
    a.href = href;
    a.textContent = text;
    return a;
  }));
  const {shards = []} = await answer.json();
  const active = shards.filter(s => s.state === 'ACTIVE').length;
  $('lights').replaceChildren(
    piece(active === shards.length && active > 0 ? 'ok' : 'warn',
      active === shards.length && active > 0 ? '\u2713 ingesters' : '\u25b3 ingesters'),
    piece('quiet', ` ${active} of ${shards.length} ACTIVE`));
}

// Text with its comment lines quiet.
function code(element, text) {
  element.replaceChildren(...text.split('\n').map((line, i) =>
    piece(/^(#|\/\/)/.test(line) ? 'quiet' : '', (i > 0 ? '\n' : '') + line)));
}

function snippets() {
  const u = $('push').value.trim().replace(/\/+$/, '');
  code($('shell'), `# one made-up stack, to see that the way is open\nprintf 'main;serve;work 100\\n' | curl -sS --data-binary @- \\\n  '${u}/ingest?name=hello&format=folded'\n\n# ten seconds of a real Go process\ncurl -sS 'http://localhost:6060/debug/pprof/profile?seconds=10' | curl -sS --data-binary @- \\\n  '${u}/ingest?name=checkout&format=pprof'`);
  code($('sdk'), SDKS[sdk](u));
  $('sdks').replaceChildren(...Object.keys(SDKS).map(name => {
    const b = document.createElement('button');
    b.setAttribute('role', 'tab');
    b.setAttribute('aria-selected', String(name === sdk));
    b.textContent = name;
    b.addEventListener('click', () => { sdk = name; snippets(); });
    return b;
  }));
}

async function copy(text, b) {
  await navigator.clipboard.writeText(text);
  if (!b)
    return;
  const before = b.textContent;
  b.textContent = 'Copied';
  setTimeout(() => { b.textContent = before; }, 1500);
}

/* --- wiring ------------------------------------------------------------------------------------ */

function tip(hit, e) {
  const t = $('tip');
  flame.lit = -1;
  if (hit === null || e === null || tree === null) {
    t.hidden = true;
    return;
  }
  const unit = units.parseType(state.type).unit;
  const i = hit.node, rows = [];
  let title;
  if (i === undefined) {
    const r = hit.run;
    title = r.count === 1 ? tree.names[tree.name[r.first]] : `${r.count.toLocaleString('en')} thin boxes`;
    rows.push(['total', r.sum, tree.total[tree.parent[r.first]]]);
  } else {
    title = i === 0 ? 'all' : tree.names[tree.name[i]];
    rows.push(['self', tree.self[i], sums(i).up], ['total', tree.total[i], sums(i).up]);
  }
  const grid = piece('grid', '');
  for (const h of ['', 'value', 'of all', 'of view', 'of parent'])
    grid.append(piece('quiet', h));
  for (const [label, v, up] of rows)
    grid.append(piece('', label), piece('strong', units.text(v, unit)),
      piece('', units.percent(v, tree.total[0])), piece('', units.percent(v, tree.total[flame.focus])),
      piece('', units.percent(v, up)));
  const title_ = piece('mono title', safe(title));
  t.replaceChildren(title_, grid);
  if (i !== undefined && i > 0 && tree.name[i] === tree.other)
    t.append(piece('quiet', 'functions too small to be sent, added up'));
  t.hidden = false;
  const w = t.offsetWidth, h = t.offsetHeight;
  const x = Math.min(e.clientX + 12, innerWidth - w - 8);
  const y = e.clientY + 24 + h > innerHeight ? e.clientY - h - 16 : e.clientY + 24;
  t.style.left = `${Math.max(8, x)}px`;
  t.style.top = `${Math.max(8, y)}px`;
}

const flame = new Flame(document.querySelector('#flame .scroll'), {
  hover(hit, e) {
    tip(hit, e);
    if (hit && hit.node !== undefined)
      details(hit.node);
    else if (tree !== null)
      details(flame.selected >= 0 ? flame.selected : flame.focus);
  },
  select,
  focus: i => setFocus(i === flame.focus && i !== 0 ? tree.parent[i] : i, true),
});
const table = new Table($('table'), {
  select: r => select(r.node),
  focus: r => setFocus(r.node, true),
  hover(name) {
    flame.lit = name;
    flame.drawOver();
  },
});
const timeline = new Timeline($('timeline'), {
  select(s) {
    state.sel = s;
    ask(true);
  },
});

function move(by) {
  const [a, b] = range(), half = (b - a) / 2;
  [state.from, state.until] = by === 0 ? [a - half, b + half] : [a + by * half, b + by * half];
  if (state.until > Date.now())
    [state.from, state.until] = [Date.now() - (state.until - state.from), Date.now()];
  state.from = String(Math.round(state.from));
  state.until = String(Math.round(state.until));
  state.sel = null;
  ask(true);
}

function view(v) {
  state.view = v;
  remember(true);
  showControls();
  flame.resize();
  table.paint();
}

function letter(key, b) {
  const at = flame.selected >= 0 ? flame.selected : flame.focus;
  const acts = {
    f: () => setFocus(at, true),
    0: () => setFocus(0, true),
    c: () => tree && at > 0 && copy(tree.names[tree.name[at]], b && b.lastChild),
    n: () => step(1), N: () => step(-1), u: () => ask(),
    1: () => view('flame'), 2: () => view('both'), 3: () => view('table'),
    '[': () => move(-1), ']': () => move(1),
    z() {
      if (!state.sel) {
        move(0);
        return;
      }
      [state.from, state.until] = state.sel.map(String);
      state.sel = null;
      ask(true);
    },
    '/': () => $('search').focus(), '?': () => $('keys').showModal(),
    Escape: back, Backspace: back,
  };
  if (!(key in acts))
    return false;
  acts[key]();
  return true;
}

function back() {
  if (running && !$('loading').hidden)
    running.abort();
  else if (tree !== null && flame.focus > 0)
    setFocus(tree.parent[flame.focus], true);
}

function wire() {
  const change = (id, act) => $(id).addEventListener('change', act);
  const press = (id, act) => $(id).addEventListener('click', act);
  change('service', () => {
    const rest = state.matchers.filter(m => !(m.name === 'service_name' && m.op === '='));
    state.matchers = [{name: 'service_name', op: '=', value: $('service').value}, ...rest];
    if (!(catalogue.get($('service').value) || []).includes(state.type))
      state.type = '';
    state.focus = [];
    ask(true);
  });
  change('type', () => { state.type = $('type').value; state.focus = []; ask(true); });
  change('live', () => { live = Number($('live').value); again(); });
  press('zone', () => {
    zone = zone === 'utc' ? 'local' : 'utc';
    localStorage.setItem('zone', zone);
    ask();
  });
  press('theme', () => {
    const next = {'': 'light', light: 'dark', dark: ''}[localStorage.getItem('theme') || ''];
    localStorage.setItem('theme', next);
    theme();
  });
  press('help', () => $('keys').showModal());
  press('earlier', () => move(-1));
  press('later', () => move(1));
  press('wider', () => move(0));
  press('previous', () => step(-1));
  press('next', () => step(1));
  press('regex', () => { state.regex = !state.regex; remember(false); showControls(); search(); });
  press('case', () => { state.sensitive = !state.sensitive; remember(false); showControls(); search(); });
  $('search').addEventListener('input', () => { state.q = $('search').value; remember(false); search(); });
  $('search').addEventListener('keydown', e => {
    if (e.key === 'Enter')
      step(e.shiftKey ? -1 : 1);
    else if (e.key === 'Escape') {
      state.q = '';
      $('search').value = '';
      $('search').blur();
      remember(false);
      search();
    } else
      return;
    e.preventDefault();
    e.stopPropagation();
  });
  for (const t of document.querySelectorAll('.tabs [data-view]'))
    t.addEventListener('click', () => view(t.dataset.view));
  for (const b of document.querySelectorAll('[data-copy]'))
    b.addEventListener('click', () => copy($(b.dataset.copy).textContent, b));
  $('push').addEventListener('input', snippets);
  document.addEventListener('keydown', e => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || document.querySelector('dialog[open]');
    if (!typing && !e.ctrlKey && !e.metaKey && !e.altKey && letter(e.key))
      e.preventDefault();
  });
  addEventListener('popstate', () => { readAddress(); ask(); });
  divider();
  dialogs();
}

function divider() {
  const d = $('divider');
  const set = w => $('panes').style.setProperty('--table', `${Math.max(260, Math.min(innerWidth - 260, w))}px`);
  d.addEventListener('pointerdown', e => { d.setPointerCapture(e.pointerId); e.preventDefault(); });
  d.addEventListener('pointermove', e => { if (d.hasPointerCapture(e.pointerId)) set(e.clientX); });
  d.addEventListener('dblclick', () => set(548));
  d.addEventListener('keydown', e => {
    const by = {ArrowLeft: -16, ArrowRight: 16}[e.key];
    if (by)
      set($('table').offsetWidth + by);
  });
}

function dialogs() {
  $('keys').querySelector('dl').append(...KEYS.flatMap(([k, what]) => {
    const t = document.createElement('dt'), d = document.createElement('dd');
    t.textContent = k;
    d.textContent = what;
    return [t, d];
  }));
  $('when').querySelector('.quick').append(...QUICK.map(([label, from]) => {
    const b = button(`Last ${label}`, () => {
      state.from = from;
      state.until = 'now';
      state.sel = null;
      $('when').close('quick');
      ask(true);
    });
    b.type = 'button';
    return b;
  }));
  $('range').addEventListener('click', () => {
    $('from').value = state.from;
    $('until').value = state.until;
    $('when').showModal();
  });
  $('when').addEventListener('close', () => {
    if ($('when').returnValue !== 'ok')
      return;
    const now = Date.now(), [a, b] = [units.when($('from').value, now, zone), units.when($('until').value, now, zone)];
    if (!(a < b))
      return;
    const keep = (text, ms) => (/^now/.test(text.trim()) ? text.trim() : String(ms));
    state.from = keep($('from').value, a);
    state.until = keep($('until').value, b);
    state.sel = null;
    ask(true);
  });
  $('add').addEventListener('click', async () => {
    $('filter').showModal();
    const [start, end] = range().map(String);
    const {body} = await call('LabelNames', {matchers: [selector(state.matchers)], start, end});
    $('f-names').replaceChildren(...(body.names || []).filter(n => !n.startsWith('__')).map(n => new Option('', n)));
  });
  $('f-name').addEventListener('change', async () => {
    const [start, end] = range().map(String);
    const {body} = await call('LabelValues', {name: $('f-name').value, matchers: [selector(state.matchers)], start, end});
    $('f-values').replaceChildren(...(body.names || []).slice(0, 200).map(n => new Option('', n)));
  });
  $('filter').addEventListener('close', () => {
    if ($('filter').returnValue !== 'ok' || $('f-name').value === '')
      return;
    state.matchers = [...state.matchers, {name: $('f-name').value, op: $('f-op').value, value: $('f-value').value}];
    $('f-name').value = $('f-value').value = '';
    ask(true);
  });
}

function theme() {
  document.documentElement.dataset.theme = localStorage.getItem('theme') || '';
  flame.restyle();
  timeline.draw();
  table.paint();
}

async function version() {
  const answer = await fetch('api/v1/status/buildinfo');
  const info = await answer.json();
  $('version').textContent = (info.data && info.data.version) || '';
}

$('stale').remove();
readAddress();
wire();
theme();
setInterval(showStatus, 1000);
version().catch(() => {});
ask();
