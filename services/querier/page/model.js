// A flame graph as arrays, in level order: children of a node stand side by side in the next level.

// Levels of the server (quadruples x delta, total, self, name, as decimal strings or numbers).
// Throws an Error that says where the answer is damaged.
export function read(flamegraph) {
  const names = flamegraph.names || ['total'];
  const levels = flamegraph.levels || [];
  let count = 0;
  for (const l of levels)
    count += (l.values || []).length / 4;
  const m = {
    names, count, rows: levels.length,
    x: new Float64Array(count), total: new Float64Array(count), self: new Float64Array(count),
    name: new Uint32Array(count), parent: new Int32Array(count), row: new Uint32Array(count),
    rowStart: new Uint32Array(levels.length + 1),
    first: new Uint32Array(count + 1), // first child of the node, or of the next that has any
  };
  let at = 0;
  levels.forEach((level, row) => {
    const v = level.values || [];
    let end = 0;
    m.rowStart[row] = at;
    for (let i = 0; i < v.length; i += 4, at++) {
      m.x[at] = end + Number(v[i]);
      m.total[at] = Number(v[i + 1]);
      m.self[at] = Number(v[i + 2]);
      m.name[at] = Number(v[i + 3]);
      m.row[at] = row;
      end = m.x[at] + m.total[at];
      if (!(m.total[at] >= 0 && m.self[at] >= 0 && Number(v[i]) >= 0 && m.name[at] < names.length))
        throw new Error(`level ${row}, box ${i / 4}`);
    }
  });
  m.rowStart[levels.length] = count;
  link(m);
  m.other = names.indexOf('other');
  return m;
}

// Parents and first children by one sweep over each pair of levels.
function link(m) {
  m.parent[0] = -1;
  m.first.fill(m.count);
  for (let row = 1; row < m.rows; row++) {
    let up = m.rowStart[row - 1];
    const upEnd = m.rowStart[row];
    for (let i = m.rowStart[row]; i < m.rowStart[row + 1]; i++) {
      while (up < upEnd && m.x[up] + m.total[up] <= m.x[i] && up + 1 < upEnd)
        up++;
      const slack = m.total[0] * 1e-9; // sums above 2^53 lose their last digits
      if (m.x[i] + m.total[i] > m.x[up] + m.total[up] + slack)
        throw new Error(`level ${row}, box ${i - m.rowStart[row]}`);
      m.parent[i] = up;
      if (m.first[up] === m.count)
        m.first[up] = i;
    }
  }
  for (let row = m.rows - 1; row >= 0; row--) {
    let next = m.rowStart[Math.min(row + 2, m.rows)];
    for (let i = m.rowStart[row + 1] - 1; i >= m.rowStart[row]; i--) {
      if (m.first[i] === m.count || row === m.rows - 1)
        m.first[i] = next;
      next = m.first[i];
    }
  }
}

// [from, to): the children of node i.
export function children(m, i) {
  const row = m.row[i];
  if (row + 1 >= m.rows)
    return [0, 0];
  const to = i + 1 < m.rowStart[row + 1] ? m.first[i + 1] : m.rowStart[row + 2];
  return [m.first[i], to];
}

// Nodes in depth-first order; enter and leave are called around each.
function walk(m, enter, leave) {
  const stack = [0];
  while (stack.length > 0) {
    const i = stack.pop();
    if (i < 0) {
      leave(~i);
      continue;
    }
    enter(i);
    stack.push(~i);
    const [from, to] = children(m, i);
    for (let c = to - 1; c >= from; c--)
      stack.push(c);
  }
}

// Per name: self, total (a stack that has the name several times counts once), heaviest node.
// "other" and the root are left out.
export function functions(m) {
  const open = new Uint32Array(m.names.length);
  const rows = new Map();
  if (m.count === 0)
    return [];
  walk(m, i => {
    const n = m.name[i];
    if (i !== 0 && n !== m.other) {
      let r = rows.get(n);
      if (!r)
        rows.set(n, r = {name: n, self: 0, total: 0, node: i, count: 0});
      r.self += m.self[i];
      r.count++;
      if (open[n] === 0)
        r.total += m.total[i];
      if (m.total[i] > m.total[r.node])
        r.node = i;
    }
    open[n]++;
  }, i => { open[m.name[i]]--; });
  return [...rows.values()];
}

// What the names of the set weigh: the top-most of nested matches counts.
export function weigh(m, hit) {
  let sum = 0, depth = 0;
  if (m.count === 0)
    return 0;
  walk(m, i => {
    if (i !== 0 && hit[m.name[i]]) {
      if (depth === 0)
        sum += m.total[i];
      depth++;
    }
  }, i => { if (i !== 0 && hit[m.name[i]]) depth--; });
  return sum;
}

// Sum of all "other" boxes.
export function cutAway(m) {
  let sum = 0;
  if (m.other >= 0)
    for (let i = 1; i < m.count; i++)
      if (m.name[i] === m.other)
        sum += m.total[i];
  return sum;
}

// Names from the root's child down to node i.
export function path(m, i) {
  const out = [];
  for (; i > 0; i = m.parent[i])
    out.unshift(m.names[m.name[i]]);
  return out;
}

// The node with that path of names, or the deepest on the way.
export function find(m, names) {
  let at = 0;
  for (const name of names) {
    const [from, to] = children(m, at);
    let next = -1;
    for (let c = from; c < to; c++)
      if (m.names[m.name[c]] === name)
        next = c;
    if (next < 0)
      return at;
    at = next;
  }
  return at;
}
