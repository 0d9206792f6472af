// Writes wall-clock and heap profiles of a small order service: npm install && node profile.js DIR
const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const crypto = require('crypto');
const pprof = require('@datadog/pprof');

const kept = new Map();

function makeOrder(n) {
  const items = [];
  for (let i = 0; i < 8 + (n % 5); i++) items.push('item'.repeat(1 + ((n + i) % 7)));
  return { id: `order-${n}`, items, notes: Object.fromEntries(items.map((x, i) => [`note${i}`, x])) };
}

function encode(order) {
  return zlib.gzipSync(JSON.stringify(order));
}

function checksum(raw) {
  let sum = crypto.createHash('sha256').update(raw).digest();
  for (let i = 0; i < 100; i++) sum = crypto.createHash('sha256').update(sum).digest();
  return sum;
}

function serve(n) {
  const order = makeOrder(n);
  const sum = checksum(encode(order));
  const key = sum[0];
  const list = kept.get(key) || [];
  list.push(order);
  kept.set(key, list.slice(-64));
}

async function main() {
  const dir = process.argv[2];
  pprof.heap.start(64 * 1024, 64);
  pprof.time.start({ durationMillis: 5000, intervalMicros: 10000 });
  const end = Date.now() + 5000;
  for (let n = 0; Date.now() < end; n++) {
    serve(n);
    if (n % 50 === 0) await new Promise((r) => setImmediate(r));
  }
  const write = (name, profile) =>
    fs.writeFileSync(path.join(dir, name), zlib.gzipSync(profile.encode()));
  write('node-wall.pb.gz', pprof.time.stop());
  write('node-heap.pb.gz', await pprof.heap.profile());
}

main();
