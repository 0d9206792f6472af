// Draws a flame graph: the visible part on one canvas, what is pointed at on a second above it.

import {children} from './model.js';
import {colour, forms, safe} from './names.js';
import {percent, text as valueText} from './units.js';

const FONT = '12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const LABEL_CHARACTERS = 4; // fewer say nothing
const PAD = 5;
const HATCH_FROM = 5; // px; thinner hatching looks like noise

export class Flame {
  // hooks: hover(node or run or null, event), select(node), focus(node)
  constructor(element, hooks) {
    this.scroll = element;
    this.base = element.querySelector('.base');
    this.over = element.querySelector('.over');
    this.tall = element.querySelector('.tall');
    this.hooks = hooks;
    this.model = null;
    this.focus = 0;
    this.selected = -1;
    this.hovered = null;
    this.hits = null;      // by name: 1 when the search found it
    this.lit = -1;         // name outlined from the table
    this.faded = false;
    this.rowHeight = matchMedia('(pointer: coarse)').matches ? 24 : 18;
    this.styles = new Map();
    this.widths = new Map();
    this.dirty = false;
    new ResizeObserver(() => this.resize()).observe(element);
    element.addEventListener('scroll', () => { this.place(); this.redraw(); }, {passive: true});
    element.addEventListener('pointermove', e => this.point(e));
    element.addEventListener('pointerleave', () => this.point(null));
    element.addEventListener('click', e => this.click(e));
    element.addEventListener('keydown', e => this.key(e));
    for (const q of ['(prefers-color-scheme: dark)', '(resolution: 1dppx)'])
      matchMedia(q).addEventListener('change', () => this.restyle());
    this.restyle();
  }

  show(model, unit) {
    this.model = model;
    this.unit = unit;
    this.styles.clear();
    this.shapes = [];
    this.focus = 0;
    this.selected = -1;
    this.hovered = null;
    this.tall.style.height = `${model.rows * this.rowHeight + 8}px`;
    this.redraw();
  }

  restyle() {
    const css = getComputedStyle(document.documentElement);
    const get = name => css.getPropertyValue(name).trim();
    this.dark = get('--dark') === '1';
    this.ink = get('--ink');
    this.ground = get('--bg');
    this.root = get('--root');
    this.hatchInk = get('--hatch-ink');
    this.hatchGround = get('--hatch-ground');
    this.styles.clear();
    this.widths.clear();
    this.resize();
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 4);
    const w = this.scroll.clientWidth, h = this.scroll.clientHeight;
    this.ratio = ratio;
    this.width = w;
    this.height = h;
    for (const c of [this.base, this.over]) {
      c.width = Math.max(1, Math.min(8192, Math.round(w * ratio)));
      c.height = Math.max(1, Math.min(8192, Math.round(h * ratio)));
      c.style.width = `${w}px`;
      c.style.height = `${h}px`;
    }
    const g = this.base.getContext('2d', {alpha: false});
    g.font = FONT;
    this.character = g.measureText('0123456789').width / 10;
    this.hatch = this.makeHatch(g);
    this.place();
    this.paint(); // now: a canvas of a new size is black until it is painted
  }

  makeHatch(g) {
    const tile = document.createElement('canvas');
    const n = Math.round(6 * this.ratio);
    tile.width = tile.height = n;
    const t = tile.getContext('2d');
    t.fillStyle = this.hatchGround;
    t.fillRect(0, 0, n, n);
    t.strokeStyle = this.hatchInk;
    t.lineWidth = this.ratio;
    t.beginPath();
    for (const d of [-n, 0, n]) {
      t.moveTo(d - 1, n + 1);
      t.lineTo(d + n + 1, -1);
    }
    t.stroke();
    return g.createPattern(tile, 'repeat');
  }

  // The canvases stay where the eye is while the tall element scrolls.
  place() {
    for (const c of [this.base, this.over])
      c.style.transform = `translateY(${this.scroll.scrollTop}px)`;
  }

  redraw() {
    if (this.dirty)
      return;
    this.dirty = true;
    requestAnimationFrame(() => { if (this.dirty) this.paint(); });
  }

  paint() {
    this.dirty = false;
    this.draw();
    this.drawOver();
  }

  style(name) {
    let s = this.styles.get(name);
    if (s === undefined) {
      s = colour(this.model.names[name], this.dark);
      this.styles.set(name, s);
    }
    return s;
  }

  // [left, right) of node i in px of the page, for the present focus.
  edges(i) {
    const m = this.model, f = this.focus;
    const k = m.total[f] > 0 ? this.width / m.total[f] : 0;
    if (m.row[i] < m.row[f])
      return [0, this.width];
    return [(m.x[i] - m.x[f]) * k, (m.x[i] + m.total[i] - m.x[f]) * k];
  }

  isAncestor(i) {
    for (let a = this.focus; a >= 0; a = this.model.parent[a])
      if (a === i)
        return a !== this.focus;
    return false;
  }

  draw() {
    const g = this.base.getContext('2d', {alpha: false});
    const m = this.model;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.fillStyle = this.ground;
    g.fillRect(0, 0, this.width, this.height);
    this.labels = [];
    if (!m || m.count === 0)
      return;
    const mark = performance.now();
    const top = this.scroll.scrollTop;
    const from = Math.floor(top / this.rowHeight);
    const to = Math.min(m.rows, Math.ceil((top + this.height) / this.rowHeight));
    const ancestors = [];
    for (let a = m.parent[this.focus]; a >= 0; a = m.parent[a])
      ancestors[m.row[a]] = a;
    this.drawn = [];
    for (let row = from; row < to; row++) {
      const y = row * this.rowHeight - top;
      if (row < m.row[this.focus])
        this.box(g, ancestors[row], 0, this.width, y, 0.5);
      else
        this.drawRow(g, row, y);
    }
    this.drawLabels(g);
    performance.measure('ember:draw', {start: mark});
  }

  // First node of the row whose right end lies beyond x.
  seek(row, x) {
    const m = this.model;
    let lo = m.rowStart[row], hi = m.rowStart[row + 1];
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (m.x[mid] + m.total[mid] <= x)
        lo = mid + 1;
      else
        hi = mid;
    }
    return lo;
  }

  drawRow(g, row, y) {
    const m = this.model, x0 = m.x[this.focus], x1 = x0 + m.total[this.focus];
    const k = this.width / (m.total[this.focus] || 1);
    const end = m.rowStart[row + 1];
    const snap = v => Math.floor(v * this.ratio + 0.5) / this.ratio;
    const row0 = {row, items: []};
    this.drawn[row] = row0;
    let run = null;
    const flush = () => {
      if (run === null)
        return;
      const left = snap(run.left), right = Math.max(snap(run.right), left + 1 / this.ratio);
      g.globalAlpha = this.hits && !run.hit ? 0.35 : 1;
      g.fillStyle = right - left >= HATCH_FROM ? this.hatch : this.hatchInk;
      g.fillRect(left, y, right - left, this.rowHeight - 1);
      g.globalAlpha = 1;
      row0.items.push({left, right, run});
      run = null;
    };
    for (let i = this.seek(row, x0); i < end && m.x[i] < x1; i++) {
      const left = (m.x[i] - x0) * k, right = (m.x[i] + m.total[i] - x0) * k;
      if (right - left < 1) {
        if (run !== null && left - run.right > 1)
          flush();
        run = run || {first: i, last: i, left, right, sum: 0, count: 0, hit: false};
        run.last = i;
        run.right = Math.max(run.right, right);
        run.sum += m.total[i];
        run.count++;
        run.hit = run.hit || (this.hits !== null && this.hits[m.name[i]] === 1);
        continue;
      }
      flush();
      const l = snap(left), r = snap(right);
      row0.items.push({left: l, right: r, node: i});
      this.box(g, i, l, r, y, 1);
    }
    flush();
  }

  box(g, i, left, right, y, alpha) {
    const m = this.model, n = m.name[i];
    const gap = right - left >= 3 ? 1 : 0;
    const hit = this.hits !== null && this.hits[n] === 1;
    if (this.hits !== null && !hit)
      alpha = Math.min(alpha, i === 0 ? 1 : 0.35);
    g.globalAlpha = alpha;
    if (i !== 0 && n === m.other)
      g.fillStyle = right - left >= HATCH_FROM ? this.hatch : this.hatchInk;
    else
      g.fillStyle = i === 0 ? this.root : this.style(n);
    g.fillRect(left, y, right - left - gap, this.rowHeight - 1);
    if (hit && right - left > 3) {
      g.strokeStyle = this.ink;
      g.globalAlpha = 0.6;
      g.strokeRect(left + 0.5, y + 0.5, right - left - gap - 1, this.rowHeight - 2);
    }
    g.globalAlpha = 1;
    if (right - left - gap >= LABEL_CHARACTERS * this.character + 2 * PAD)
      this.labels.push([i, left, right - gap, y, alpha]);
  }

  // Characters of s at this font, wide ones measured.
  measure(g, s) {
    if (/^[\x20-\x7e\u2026]*$/.test(s))
      return s.length * this.character;
    let w = this.widths.get(s);
    if (w === undefined)
      this.widths.set(s, w = g.measureText(s).width);
    return w;
  }

  shape(name) {
    if (this.shapes[name] === undefined)
      this.shapes[name] = forms(this.model.names[name]).map(
        f => ({path: safe(f.path), fn: safe(f.fn)}));
    return this.shapes[name];
  }

  // The longest form that fits, else the barest one's beginning; null: not even that.
  fit(g, name, room) {
    const list = this.shape(name);
    for (const f of list)
      if (this.measure(g, f.path + f.fn) <= room)
        return f;
    const last = list[list.length - 1].fn;
    const n = Math.floor(room / this.character) - 1;
    if (n < LABEL_CHARACTERS - 1)
      return null;
    return {path: '', fn: `${last.slice(0, n)}\u2026`};
  }

  drawLabels(g) {
    const m = this.model;
    g.font = FONT;
    g.textBaseline = 'middle';
    for (const [i, left, right, y, alpha] of this.labels) {
      const mid = y + this.rowHeight / 2;
      const share = i === 0 ? valueText(m.total[0], this.unit) : percent(m.total[i], m.total[0]);
      const wide = right - left >= 150;
      const tail = wide ? this.measure(g, share) + 12 : 0;
      const f = i === 0 ? {path: '', fn: 'all'}
        : this.fit(g, m.name[i], right - left - 2 * PAD - tail);
      if (f === null)
        continue;
      const plain = this.hits !== null && alpha < 1;
      g.fillStyle = this.dark && (i === 0 || m.name[i] === m.other) ? this.ink : '#111';
      const quiet = this.dark ? 0.78 : 0.7;
      g.globalAlpha = plain ? 0.5 : quiet;
      g.fillText(f.path, left + PAD, mid);
      g.globalAlpha = plain ? 0.5 : 1;
      g.fillText(f.fn, left + PAD + this.measure(g, f.path), mid);
      if (wide) {
        g.globalAlpha = plain ? 0.5 : quiet;
        g.fillText(share, right - PAD - this.measure(g, share), mid);
      }
    }
    g.globalAlpha = 1;
  }

  outline(g, i, width, colourOf) {
    const m = this.model;
    if (m.row[i] < m.row[this.focus] ? !this.isAncestor(i) : false)
      return;
    const [a, b] = this.edges(i);
    const left = Math.max(a, 0), right = Math.min(b, this.width);
    const y = m.row[i] * this.rowHeight - this.scroll.scrollTop;
    if (right <= left || y < -this.rowHeight || y > this.height)
      return;
    g.strokeStyle = colourOf;
    g.lineWidth = width;
    g.strokeRect(left + width / 2, y + width / 2, Math.max(right - left - 1 - width, 1),
      this.rowHeight - 1 - width);
  }

  drawOver() {
    const g = this.over.getContext('2d');
    const m = this.model;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    if (!m || m.count === 0)
      return;
    const node = this.hovered && this.hovered.node !== undefined ? this.hovered.node : -1;
    const same = this.lit >= 0 ? this.lit : node > 0 ? m.name[node]
      : this.selected > 0 ? m.name[this.selected] : -1;
    if (same >= 0)
      for (const row of this.drawn || [])
        for (const it of row ? row.items : [])
          if (it.node !== undefined && m.name[it.node] === same)
            this.outline(g, it.node, 1, this.ink);
    if (node >= 0)
      this.outline(g, node, 1, this.ink);
    if (this.selected >= 0) {
      this.outline(g, this.selected, 3, this.ground);
      this.outline(g, this.selected, 2, this.ink);
    }
  }

  // What lies at the event: {node} or {run}, or null.
  at(e) {
    const m = this.model;
    if (!m || m.count === 0)
      return null;
    const box = this.scroll.getBoundingClientRect();
    const x = e.clientX - box.left, y = e.clientY - box.top + this.scroll.scrollTop;
    const row = Math.floor(y / this.rowHeight);
    if (row < 0 || row >= m.rows || x >= this.width)
      return null;
    if (row < m.row[this.focus]) {
      let a = this.focus;
      while (m.row[a] > row)
        a = m.parent[a];
      return {node: a, row};
    }
    const items = this.drawn && this.drawn[row] ? this.drawn[row].items : [];
    let lo = 0, hi = items.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (items[mid].right <= x)
        lo = mid + 1;
      else
        hi = mid;
    }
    const it = items[lo];
    return it && it.left <= x ? {node: it.node, run: it.run, row} : null;
  }

  point(e) {
    this.hovered = e === null ? null : this.at(e);
    this.scroll.style.cursor = this.hovered ? 'pointer' : '';
    this.hooks.hover(this.hovered, e);
    if (!this.dirty)
      this.drawOver();
  }

  click(e) {
    const hit = this.at(e);
    if (hit === null)
      return;
    if (hit.run !== undefined)
      this.hooks.focus(this.model.parent[hit.run.first]);
    else
      this.hooks.focus(hit.node);
  }

  setFocus(i) {
    this.focus = i;
    const y = this.model.row[i] * this.rowHeight;
    if (y < this.scroll.scrollTop || y > this.scroll.scrollTop + this.height - this.rowHeight)
      this.scroll.scrollTop = Math.max(0, y - 3 * this.rowHeight);
    this.redraw();
  }

  select(i) {
    this.selected = i;
    if (i >= 0) {
      const y = this.model.row[i] * this.rowHeight;
      if (y < this.scroll.scrollTop)
        this.scroll.scrollTop = y;
      else if (y + this.rowHeight > this.scroll.scrollTop + this.height)
        this.scroll.scrollTop = y + this.rowHeight - this.height;
    }
    this.redraw();
  }

  key(e) {
    const m = this.model;
    if (!m || m.count === 0 || e.ctrlKey || e.metaKey || e.altKey)
      return;
    const at = this.selected >= 0 ? this.selected : this.focus;
    const go = i => { if (i >= 0) this.hooks.select(i); };
    const [from, to] = children(m, at);
    const side = step => {
      const n = at + step;
      if (n >= m.rowStart[m.row[at]] && n < m.rowStart[m.row[at] + 1])
        go(n);
    };
    if (e.key === 'ArrowUp')
      go(m.parent[at]);
    else if (e.key === 'ArrowDown') {
      let best = -1;
      for (let c = from; c < to; c++)
        if (best < 0 || m.total[c] > m.total[best])
          best = c;
      go(best);
    } else if (e.key === 'ArrowLeft')
      side(-1);
    else if (e.key === 'ArrowRight')
      side(1);
    else if (e.key === 'Enter')
      this.hooks.focus(at);
    else
      return;
    e.preventDefault();
  }
}
