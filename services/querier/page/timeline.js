// Values over the range as bars; a stretch of it can be selected by dragging or by its handles.

import {clock, digits, format, rate} from './units.js';

const RIGHT = 58, BOTTOM = 16, TOP = 18, GRIP = 12;
const STEPS = [15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
  86400, 172800, 604800];

// Seconds per bar: a human step with at most 400 bars.
export function step(fromMs, untilMs) {
  const span = (untilMs - fromMs) / 1000;
  return STEPS.find(s => span / s <= 400) || Math.ceil(span / 400 / 86400) * 86400;
}

export class Timeline {
  // hooks: select([from, until] in ms or null)
  constructor(root, hooks) {
    this.canvas = root.querySelector('canvas');
    this.root = root;
    this.hooks = hooks;
    this.points = [];
    this.selection = null;
    this.drag = null;
    new ResizeObserver(() => this.draw()).observe(root);
    this.canvas.addEventListener('pointerdown', e => this.down(e));
    this.canvas.addEventListener('pointermove', e => this.move(e));
    this.canvas.addEventListener('pointerup', e => this.up(e));
    this.canvas.addEventListener('keydown', e => this.key(e));
  }

  show(points, range, stepS, unit, zone) {
    Object.assign(this, {points, range, stepS, unit, zone});
    this.draw();
  }

  select(s) {
    this.selection = s;
    this.draw();
  }

  x(ms) {
    return 12 + (ms - this.range[0]) / (this.range[1] - this.range[0]) * this.inner;
  }

  ms(x) {
    const t = this.range[0] + (x - 12) / this.inner * (this.range[1] - this.range[0]);
    return Math.max(this.range[0], Math.min(this.range[1], t));
  }

  draw() {
    const w = this.root.clientWidth, h = this.root.clientHeight;
    const ratio = devicePixelRatio || 1, c = this.canvas;
    c.width = Math.max(1, Math.round(w * ratio));
    c.height = Math.max(1, Math.round(h * ratio));
    c.style.width = `${w}px`;
    c.style.height = `${h}px`;
    const g = c.getContext('2d');
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, w, h);
    this.inner = w - 12 - RIGHT;
    this.height = h;
    if (!this.range)
      return;
    const css = getComputedStyle(document.documentElement);
    const get = n => css.getPropertyValue(n).trim();
    this.colours = {bar: get('--bar'), ink: get('--ink-3'), line: get('--line'), line2: get('--line-2'),
      accent: get('--accent'), selected: get('--selected')};
    g.font = '11px system-ui, sans-serif';
    this.axis(g, w, h);
    this.gaps(g, h);
    this.bars(g, h);
    this.ticks(g, h);
    this.handles(g, h);
    this.describe();
  }

  axis(g, w, h) {
    let most = 0;
    for (const p of this.points)
      most = Math.max(most, p.value);
    const perSecond = most / this.stepS;
    const ns = {nanoseconds: 1, microseconds: 1e3, milliseconds: 1e6, seconds: 1e9}[this.unit];
    const top = ns ? perSecond * ns / 1e9 : perSecond;
    // Round in the unit that is shown: 3 MiB, not 3,000,000 bytes.
    const base = this.unit === 'bytes' ? 1024 ** Math.max(0, Math.floor(Math.log2(top || 1) / 10)) : 1;
    const pow = 10 ** Math.floor(Math.log10(top / base || 1));
    const step = [1, 2, 3, 4, 5, 6, 8, 10].find(n => n * pow >= top / base * 0.999) || 10;
    const nice = step * pow * base, parts = step % 3 === 0 ? 3 : 2;
    this.scale = (h - TOP - BOTTOM) / (nice || 1);
    this.toAxis = v => (ns ? v * ns / 1e9 : v) / this.stepS;
    g.strokeStyle = this.colours.line;
    g.fillStyle = this.colours.ink;
    g.textAlign = 'left';
    g.textBaseline = 'middle';
    for (let i = 0; i <= parts; i++) {
      const part = i / parts;
      const y = Math.round(h - BOTTOM - nice * part * this.scale) + 0.5;
      g.beginPath();
      g.moveTo(12, y);
      g.lineTo(12 + this.inner, y);
      g.stroke();
      const [n, u] = ns ? [digits(nice * part), ''] : format(nice * part, this.unit);
      const short = n.includes('.') ? n.replace(/\.?0+$/, '') : n;
      g.fillText(`${short} ${u}`.trim(), 12 + this.inner + 6, y);
    }
    g.textAlign = 'right';
    g.fillText(`${ns ? 'cores' : 'per second'}, ${this.stepS} s per bar`, 12 + this.inner, 7);
  }

  // Where nothing was between two points: not zero, but no profile.
  gaps(g, h) {
    const bar = this.stepS * 1000;
    g.strokeStyle = this.colours.line2;
    g.lineWidth = 1;
    for (let i = 1; i < this.points.length; i++) {
      const from = this.points[i - 1].time, until = this.points[i].time - bar;
      if (until <= from)
        continue;
      const a = this.x(from), w = this.x(until) - a, tall = h - TOP - BOTTOM;
      g.save();
      g.beginPath();
      g.rect(a, TOP, w, tall);
      g.clip();
      g.beginPath();
      for (let x = a - tall; x < a + w; x += 5) {
        g.moveTo(x, TOP + tall);
        g.lineTo(x + tall, TOP);
      }
      g.stroke();
      g.restore();
    }
  }

  bars(g, h) {
    const s = this.selection;
    if (s) {
      g.fillStyle = this.colours.selected;
      g.globalAlpha = 0.6;
      g.fillRect(this.x(s[0]), TOP - 6, this.x(s[1]) - this.x(s[0]), h - TOP - BOTTOM + 6);
      g.globalAlpha = 1;
    }
    g.fillStyle = this.colours.bar;
    for (const p of this.points) {
      const a = Math.max(this.x(p.time - this.stepS * 1000), 12), b = Math.min(this.x(p.time), 12 + this.inner);
      const y = this.toAxis(p.value) * this.scale;
      const inside = !s || (p.time > s[0] && p.time - this.stepS * 1000 < s[1]);
      g.globalAlpha = inside ? 1 : 0.38;
      g.fillRect(a, h - BOTTOM - y, Math.max(b - a - (b - a > 3 ? 1 : 0), 1), y);
    }
    g.globalAlpha = 1;
  }

  ticks(g, h) {
    const span = (this.range[1] - this.range[0]) / 1000;
    const every = (TICKS.find(t => this.inner / (span / t) >= 90) || 604800) * 1000;
    const shift = this.zone === 'utc' ? 0 : new Date(this.range[0]).getTimezoneOffset() * 60000;
    g.fillStyle = this.colours.ink;
    g.textAlign = 'center';
    g.textBaseline = 'alphabetic';
    for (let t = Math.ceil((this.range[0] - shift) / every) * every + shift; t <= this.range[1]; t += every) {
      const x = this.x(t);
      if (x < 30 || x > 12 + this.inner - 20)
        continue;
      g.fillRect(Math.round(x), h - BOTTOM, 1, 3);
      g.fillText(clock(t, this.zone).slice(0, every < 60000 ? 8 : 5), x, h - 3);
    }
  }

  handles(g, h) {
    if (!this.selection)
      return;
    g.fillStyle = this.colours.accent;
    for (const t of this.selection) {
      const x = Math.round(this.x(t));
      g.fillRect(x - 1, TOP - 10, 2, h - TOP - BOTTOM + 10);
      g.fillRect(x - 3, (h + TOP - BOTTOM) / 2 - 7, 6, 14);
    }
  }

  describe() {
    let sum = 0;
    for (const p of this.points)
      sum += p.value;
    const [n, u] = rate(sum, this.unit, (this.range[1] - this.range[0]) / 1000);
    this.canvas.setAttribute('aria-label', `timeline from ${clock(this.range[0], this.zone)} to ` +
      `${clock(this.range[1], this.zone)}, ${n} ${u} on average; drag or use the arrow keys to select`);
  }

  position(e) {
    return e.clientX - this.canvas.getBoundingClientRect().left;
  }

  down(e) {
    if (!this.range || e.button !== 0)
      return;
    const x = this.position(e), s = this.selection;
    this.canvas.setPointerCapture(e.pointerId);
    this.drag = {x, from: this.ms(x), moved: false};
    if (s && Math.abs(x - this.x(s[0])) <= GRIP)
      this.drag.from = s[1];
    else if (s && Math.abs(x - this.x(s[1])) <= GRIP)
      this.drag.from = s[0];
  }

  move(e) {
    if (!this.drag)
      return;
    const x = this.position(e);
    if (Math.abs(x - this.drag.x) > 3)
      this.drag.moved = true;
    if (this.drag.moved)
      this.select(this.snap([this.drag.from, this.ms(x)]));
  }

  up() {
    if (!this.drag)
      return;
    const moved = this.drag.moved;
    this.drag = null;
    if (moved)
      this.hooks.select(this.selection);
    else if (this.selection)
      this.hooks.select(null);
  }

  // To whole seconds, in order, a second long at least.
  snap([a, b]) {
    const [from, until] = a < b ? [a, b] : [b, a];
    const start = Math.floor(from / 1000) * 1000;
    return [start, Math.max(Math.ceil(until / 1000) * 1000, start + 1000)];
  }

  key(e) {
    const by = {ArrowLeft: -1, ArrowRight: 1}[e.key];
    if (!by || !this.range)
      return;
    const bar = this.stepS * 1000 * (e.altKey ? 10 : 1);
    const s = this.selection || [this.range[1] - 10 * bar, this.range[1]];
    const end = e.shiftKey ? s[0] : s[0] + by * bar;
    this.hooks.select(this.snap([Math.max(this.range[0], end), Math.min(this.range[1], s[1] + by * bar)]));
    e.preventDefault();
  }
}
