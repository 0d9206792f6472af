// The page's pure modules: units, names, selectors, the tree. Run by tests/cluster/test_page.py
// beside a copy of the modules.

import assert from 'node:assert/strict';
import test from 'node:test';

import {matcher, parse, selector} from './api.js';
import * as model from './model.js';
import {colour, forms, kind, safe, split} from './names.js';
import * as units from './units.js';

test('values have three digits and the unit of their type', () => {
  const table = [
    [0, 'nanoseconds', '0 ns'], [999, 'nanoseconds', '999 ns'], [1000, 'nanoseconds', '1.00 µs'],
    [1234567, 'nanoseconds', '1.23 ms'], [4140e9, 'nanoseconds', '1.15 h'],
    [190e9, 'nanoseconds', '3.17 min'], [999.9e6, 'nanoseconds', '1.00 s'],
    [5, 'microseconds', '5.00 µs'], [2, 'seconds', '2.00 s'], [86400 * 3, 'seconds', '3.00 d'],
    [0, 'bytes', '0 B'], [1023, 'bytes', '1023 B'], [1024, 'bytes', '1.00 KiB'],
    [1536 * 1024, 'bytes', '1.50 MiB'], [7, 'count', '7'], [1234, 'count', '1.23 k'],
    [9.99e6, 'samples', '9.99 M'],
  ];
  for (const [v, unit, want] of table)
    assert.equal(units.text(v, unit), want, `${v} ${unit}`);
  assert.deepEqual(units.rate(3600e9, 'nanoseconds', 3600), ['1.00', 'core']);
  assert.deepEqual(units.rate(7200e9, 'nanoseconds', 3600), ['2.00', 'cores']);
  assert.deepEqual(units.rate(2048 * 60, 'bytes', 60), ['2.00', 'KiB/s']);
  assert.equal(units.percent(1, 3), '33.3 %');
  assert.equal(units.percent(1, 1e6), '<0.1 %');
  assert.equal(units.percent(0, 5), '0.0 %');
  assert.equal(units.percent(1, 0), '0 %');
});

test('points in time are read as the server reads them', () => {
  const now = 1700000000000;
  assert.equal(units.when('now-1h', now, 'utc'), now - 3600e3);
  assert.equal(units.when('now-1h30m', now, 'utc'), now - 5400e3);
  assert.equal(units.when('1700000000', now, 'utc'), now);
  assert.equal(units.when('1700000000123', now, 'utc'), now + 123);
  assert.equal(units.when('2023-11-14 22:13:20', now, 'utc'), now);
  assert.ok(Number.isNaN(units.when('soon', now, 'utc')));
});

test('names are cut by their parts and the function stays', () => {
  const go = 'github.com/acme/checkout/internal/pricing.(*Engine).Evaluate';
  assert.deepEqual(split(go), {path: 'github.com/acme/checkout/internal/pricing.', fn: '(*Engine).Evaluate'});
  assert.deepEqual(forms(go).map(f => f.path + f.fn), [
    go, '\u2026/internal/pricing.(*Engine).Evaluate', 'pricing.(*Engine).Evaluate',
    '(*Engine).Evaluate', 'Engine.Evaluate', 'Evaluate']);
  assert.equal(forms('github.com/go-chi/chi/v5.(*Mux).routeHTTP')[2].path, 'chi.');
  const last = forms('net/http.HandlerFunc.ServeHTTP.func2.1').at(-1);
  assert.equal(last.fn, 'ServeHTTP');
  assert.deepEqual(split('std::vec::Vec<T>::push'), {path: 'std::vec::', fn: 'Vec<T>::push'});
  assert.deepEqual(split('java.util.HashMap.get'), {path: 'java.util.', fn: 'HashMap.get'});
  for (const odd of ['', '/', '.', '::', 'a.', '(', '[', 'x/y/'])
    assert.equal(split(odd).path + split(odd).fn, odd);
  assert.equal(kind('runtime.mallocgc'), 'runtime');
  assert.equal(kind('net/http.(*conn).serve'), 'std');
  assert.equal(kind('main.work'), 'own');
  assert.equal(colour('a/b.c', false), colour('a/b.d', false));
});

test('a range names the day of its end when that is another one', () => {
  const a = Date.UTC(2026, 10, 20, 16, 4, 5);
  assert.equal(units.between(a, a + 3600e3, 'utc'), '2026-11-20 16:04:05 \u2013 17:04:05 UTC');
  assert.equal(units.between(a, a + 86400e3, 'utc'), '2026-11-20 16:04:05 \u2013 2026-11-21 16:04:05 UTC');
});

test('characters that could rewrite a line are shown as escapes', () => {
  assert.equal(safe('a\u202eb\u0000\n'), 'a\\u202eb\\u0000\\u000a');
  assert.equal(safe('Grüße <b>'), 'Grüße <b>');
  assert.equal(safe(' \u00a0'), '\\u0020\\u00a0');
  assert.equal(safe(''), '');
});

test('selectors come back from the address as they went in', () => {
  const list = [{name: 'service_name', op: '=', value: 'a"b\\c\n\u{1f600}'},
    {name: 'foo.bar', op: '!~', value: 'x|y'}, {name: 'e', op: '=', value: ''}];
  const text = `process_cpu:cpu:nanoseconds:cpu:nanoseconds${selector(list)}`;
  assert.deepEqual(parse(text), {type: 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', matchers: list});
  assert.equal(matcher('a', '=~', 'b'), 'a=~"b"');
  for (const bad of ['', 'x', '{', '{a}', '{a="b"', '{a="b" c="d"}', '{a=\'b\'}'])
    assert.equal(parse(bad), null, bad);
});

// Levels of a tree of [name, self, children], as the server writes them.
function levels(root) {
  const names = ['total'], out = [];
  const total = n => n[1] + n[2].reduce((a, c) => a + total(c), 0);
  let row = [[root, 0]];
  while (row.length > 0) {
    const values = [], next = [];
    let end = 0;
    for (const [n, x] of row) {
      let i = n === root ? 0 : names.indexOf(n[0], 1);
      if (i < 0)
        i = names.push(n[0]) - 1;
      values.push(String(x - end), String(total(n)), String(n[1]), String(i));
      end = x + total(n);
      let at = x + n[1];
      for (const c of n[2]) {
        next.push([c, at]);
        at += total(c);
      }
    }
    out.push({values});
    row = next;
  }
  return {names, levels: out};
}

function random(seed) {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

test('totals by function count a recursive stack once, as adding up stack by stack does', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const r = random(seed), self = new Map(), total = new Map();
    const grow = (depth, path) => {
      const name = 'abcdef'[Math.floor(r() * 6)], own = 1 + Math.floor(r() * 9);
      const here = [...path, name], kids = [];
      self.set(name, (self.get(name) || 0) + own);
      for (const n of new Set(here))
        total.set(n, (total.get(n) || 0) + own);
      for (let i = depth < 7 ? Math.floor(r() * 3) : 0; i > 0; i--)
        kids.push(grow(depth + 1, here));
      return [name, own, kids];
    };
    const kids = [];
    for (let i = 1 + Math.floor(r() * 4); i > 0; i--)
      kids.push(grow(1, []));
    const m = model.read(levels(['total', 0, kids]));
    const rows = model.functions(m);
    assert.equal(rows.length, self.size);
    for (const row of rows) {
      assert.equal(row.self, self.get(m.names[row.name]));
      assert.equal(row.total, total.get(m.names[row.name]));
      assert.ok(row.total <= m.total[0]);
    }
    for (let i = 1; i < m.count; i++) {
      const [from, to] = model.children(m, m.parent[i]);
      assert.ok(from <= i && i < to);
    }
    const hit = Uint8Array.from(m.names, n => (n === 'a' || n === 'b' ? 1 : 0));
    let want = 0;
    const top = (n, inside) => {
      const now = inside || n[0] === 'a' || n[0] === 'b';
      if (now)
        want += n[1];
      n[2].forEach(c => top(c, now));
    };
    kids.forEach(k => top(k, false));
    assert.equal(model.weigh(m, hit), want);
  }
});

test('a chain of 10,000 and one node with 100,000 children cost no stack', () => {
  let chain = ['f', 1, []];
  const deep = {names: ['total', 'f'], levels: [{values: ['0', '1', '0', '0']}]};
  for (let i = 0; i < 10000; i++)
    deep.levels.push({values: ['0', '1', i === 9999 ? '1' : '0', '1']});
  assert.equal(model.functions(model.read(deep))[0].total, 1);
  chain = [];
  for (let i = 0; i < 100000; i++)
    chain.push('0', '1', '1', '1');
  const wide = {names: ['total', 'f'], levels: [{values: ['0', '100000', '0', '0']}, {values: chain}]};
  assert.equal(model.functions(model.read(wide))[0].self, 100000);
});

test('a damaged answer is refused and the place is named', () => {
  const bad = [['0', '5', '0', '7'], ['-1', '5', '0', '1'], ['0', 'x', '0', '1'], ['0', '9', '0', '1']];
  for (const values of bad)
    assert.throws(() => model.read({names: ['total', 'f'], levels: [{values: ['0', '5', '0', '0']}, {values}]}),
      /level 1, box 0/);
});

test('nothing is an empty tree', () => {
  const m = model.read({names: ['total'], levels: [{values: ['0', '0', '0', '0']}]});
  assert.deepEqual(model.functions(m), []);
  assert.equal(model.cutAway(m), 0);
  assert.deepEqual(model.functions(model.read({})), []);
});

test('paths find their nodes again, or the deepest on the way', () => {
  const m = model.read(levels(['total', 0, [['a', 1, [['b', 2, []], ['c', 3, []]]], ['d', 4, []]]]));
  for (let i = 0; i < m.count; i++)
    assert.equal(model.find(m, model.path(m, i)), i);
  assert.equal(m.names[m.name[model.find(m, ['a', 'x', 'y'])]], 'a');
});
