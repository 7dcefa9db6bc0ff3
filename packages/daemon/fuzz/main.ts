import { randomInt } from 'node:crypto';
import { fuzzed } from './document.ts';
import { fuzzRoutes } from './fuzz.ts';
import { fuzzSockets } from './sockets.ts';

/* Asks every route many things, for so many seconds (default 5), from a seed. A failure prints the seed. */

const [seconds = '5', given] = process.argv.slice(2);
const end = performance.now() + Number(seconds) * 1000;
let seed = given === undefined ? randomInt(2 ** 31) : Number(given);
let asked = 0;
do {
  process.stdout.write(`  seed ${seed}\n`);
  asked += await fuzzRoutes({ runs: 20, seed });
  await fuzzSockets({ runs: 40, seed });
  seed += 1;
} while (performance.now() < end);
process.stdout.write(`  ${asked} requests to ${fuzzed.length} routes\n`);
