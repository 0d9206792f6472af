// The functions of the shown tree: a window of rows over one sorted array.

import {colour, forms, safe} from './names.js';
import {format, percent} from './units.js';

const ROW = 22;
const FIXED = 298; // px of a row beside the name
const CHARACTER = 7.3; // px of the 12 px monospace, rounded up
const COLUMNS = [['self', 'self'], ['selfShare', '%'], ['total', 'total'], ['totalShare', '%'],
  ['name', 'function']];

function element(tag, cls, text) {
  const e = document.createElement(tag);
  if (cls)
    e.className = cls;
  if (text !== undefined)
    e.textContent = text;
  return e;
}

export class Table {
  // hooks: select(row), focus(row), hover(name or -1)
  constructor(root, hooks) {
    this.head = root.querySelector('.head');
    this.rows = root.querySelector('.rows');
    this.foot = root.querySelector('.foot');
    this.hooks = hooks;
    this.all = [];
    this.shown = [];
    this.sort = 'self';
    this.selected = -1;
    this.space = element('div', 'space');
    this.rows.append(this.space);
    for (const [key, label] of COLUMNS) {
      const b = element('button', `c-${key}`, label);
      b.setAttribute('role', 'columnheader');
      b.addEventListener('click', () => this.sortBy(key.replace('Share', '')));
      this.head.append(b);
    }
    this.rows.addEventListener('scroll', () => this.paint(), {passive: true});
    new ResizeObserver(() => this.paint()).observe(this.rows);
    this.rows.addEventListener('click', e => this.pick(e, r => this.hooks.select(r)));
    this.rows.addEventListener('dblclick', e => this.pick(e, r => this.hooks.focus(r)));
    this.rows.addEventListener('pointerover', e => this.pick(e, r => this.hooks.hover(r.name)));
    this.rows.addEventListener('pointerleave', () => this.hooks.hover(-1));
    this.rows.addEventListener('keydown', e => this.key(e));
  }

  show(model, rows, unit, note) {
    this.model = model;
    this.all = rows;
    this.unit = unit;
    this.whole = model.total[0] || 0;
    this.most = rows.reduce((a, r) => Math.max(a, r.self), 0);
    this.note = note;
    this.filter(this.hits || null);
  }

  filter(hits) {
    this.hits = hits;
    this.shown = hits === null ? this.all.slice() : this.all.filter(r => hits[r.name] === 1);
    this.order();
  }

  sortBy(key) {
    this.sort = key;
    this.order();
  }

  order() {
    const names = this.model ? this.model.names : [];
    const by = (a, b) => (names[a.name] < names[b.name] ? -1 : 1);
    if (this.sort === 'name')
      this.shown.sort(by);
    else
      this.shown.sort((a, b) => b[this.sort] - a[this.sort] || by(a, b));
    for (const [i, [key, label]] of COLUMNS.entries()) {
      const b = this.head.children[i], on = key === this.sort;
      b.setAttribute('aria-sort', on ? (key === 'name' ? 'ascending' : 'descending') : 'none');
      b.textContent = on ? `${label} ▾` : label;
    }
    this.space.style.height = `${this.shown.length * ROW}px`;
    this.foot.replaceChildren(element('span', '', this.hits === null
      ? `${this.all.length.toLocaleString('en')} functions`
      : `${this.shown.length.toLocaleString('en')} of ${this.all.length.toLocaleString('en')} functions`),
      element('span', '', this.note || ''));
    this.paint();
  }

  select(name) {
    this.selected = name;
    const i = this.shown.findIndex(r => r.name === name);
    if (i >= 0) {
      const y = i * ROW, h = this.rows.clientHeight;
      if (y < this.rows.scrollTop || y + ROW > this.rows.scrollTop + h)
        this.rows.scrollTop = Math.max(0, y - h / 2);
    }
    this.paint();
  }

  paint() {
    const from = Math.max(0, Math.floor(this.rows.scrollTop / ROW) - 5);
    const to = Math.min(this.shown.length,
      Math.ceil((this.rows.scrollTop + this.rows.clientHeight) / ROW) + 5);
    const dark = getComputedStyle(document.documentElement).getPropertyValue('--dark').trim() === '1';
    const room = Math.floor((this.rows.clientWidth - FIXED) / CHARACTER);
    const out = [];
    for (let i = from; i < to; i++)
      out.push(this.row(this.shown[i], i, dark, room));
    this.rows.setAttribute('aria-rowcount', String(this.shown.length));
    this.space.replaceChildren(...out);
  }

  row(r, i, dark, room) {
    const e = element('div', r.name === this.selected ? 'row on' : 'row');
    const name = this.model.names[r.name];
    e.style.top = `${i * ROW}px`;
    e.dataset.index = String(i);
    e.setAttribute('role', 'row');
    e.setAttribute('aria-rowindex', String(i + 1));
    e.setAttribute('aria-selected', String(r.name === this.selected));
    for (const [key, scale, cls] of [['self', this.most, 'bar-self'],
      ['total', this.whole, 'bar-total']]) {
      const [n, u] = format(r[key], this.unit);
      const v = element('span', `c-${key} num`, n);
      v.title = String(r[key]);
      v.append(element('i', '', u));
      const share = element('span', `c-${key}Share num`);
      const bar = element('b', cls);
      bar.style.width = `${scale > 0 ? 100 * r[key] / scale : 0}%`;
      share.append(bar, element('span', '', percent(r[key], this.whole).replace(' %', '')));
      e.append(v, share);
    }
    const cell = element('span', 'c-name');
    const swatch = element('b', 'swatch');
    swatch.style.backgroundColor = colour(name, dark);
    const list = forms(name);
    const f = list.find(x => (x.path + x.fn).length <= room) || list[list.length - 1];
    cell.title = safe(name);
    cell.append(swatch, element('span', 'path', safe(f.path)), element('span', '', safe(f.fn)));
    e.append(cell);
    return e;
  }

  pick(e, what) {
    const row = e.target.closest('.row');
    if (row)
      what(this.shown[Number(row.dataset.index)]);
  }

  key(e) {
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20}[e.key];
    const i = this.shown.findIndex(r => r.name === this.selected);
    if (step && this.shown.length > 0) {
      const n = Math.max(0, Math.min(this.shown.length - 1, i < 0 ? 0 : i + step));
      this.hooks.select(this.shown[n]);
      e.preventDefault();
    } else if (e.key === 'Enter' && i >= 0) {
      this.hooks.focus(this.shown[i]);
    }
  }
}
