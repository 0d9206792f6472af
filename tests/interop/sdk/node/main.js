// A program with one hot function that profiles itself with the Node SDK for some seconds.
const Pyroscope = require('@pyroscope/nodejs');

function hotFunctionInNode(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (i * i) % 7;
  return sum;
}

Pyroscope.init({
  appName: process.argv[3],
  serverAddress: process.argv[2],
  tags: { region: 'here' },
  flushIntervalMs: 1000,
  wall: { samplingDurationMs: 1000, samplingIntervalMicros: 10000, collectCpuTime: true },
});
Pyroscope.default.startWallProfiling();
const end = Date.now() + 5000;
function turn() {
  hotFunctionInNode(20000000);
  if (Date.now() < end) setTimeout(turn, 5);
  else Pyroscope.default.stopWallProfiling().then(() => setTimeout(() => { console.log('done'); process.exit(0); }, 500));
}
turn();
