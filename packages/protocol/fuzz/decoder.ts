/**
 * Feeds mutated streams to the host's half of the protocol and looks for anything but a ProtocolError, for held memory
 * above one frame, and for slowness. Run: `node packages/protocol/fuzz/decoder.ts [seconds=5] [seed]`; the seed of a
 * failure is printed and repeats it.
 */
import { readFileSync } from 'node:fs';
import { HostConnection, headerBytes, maxPayloadBytes, ProtocolError } from '../src/index.ts';

const seconds = Number(process.argv[2] ?? 5);
const firstSeed = Number(process.argv[3] ?? Date.now() % 0x7fffffff);
const epoch = 0x0123456789abcdefn;

const vectors: { bytes: string }[] = JSON.parse(
  readFileSync(new URL('../vectors/frames.json', import.meta.url), 'utf8'),
);
const corpus = vectors
  .map((vector) => Buffer.from(vector.bytes, 'hex'))
  .filter((bytes) => bytes.length < 4096);
const welcome = corpus.find((bytes) => bytes[5] === 0x02 && bytes.readBigUInt64LE(8) === epoch);
if (welcome === undefined) throw new Error('the vectors have no WELCOME');
const greeting = welcome;

/** Deterministic: mulberry32. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function mutated(random: (below: number) => number): Buffer {
  const pieces: Buffer[] = [];
  for (let n = random(12); n >= 0; n -= 1) {
    const piece = Buffer.from(corpus[random(corpus.length)] ?? greeting);
    const kind = random(4);
    if (kind === 1) piece[random(piece.length)] = random(256);
    if (kind === 2) pieces.push(piece.subarray(0, random(piece.length)));
    else pieces.push(piece);
    if (kind === 3) pieces.push(Buffer.from('VIV1'.repeat(random(200)), 'latin1'));
    // Damage within a payload keeps the header's check right, and so reaches the CBOR decoder.
    if (piece.length > headerBytes && random(2) === 0) {
      piece[headerBytes + random(piece.length - headerBytes)] = random(256);
    }
  }
  return Buffer.concat(pieces);
}

function runOne(seed: number): 'refused' | 'taken' {
  const random = randomOf(seed);
  let written = 0;
  const connection = new HostConnection({
    epoch,
    host: 'fuzz',
    write: (parts) => {
      written += parts.reduce((sum, part) => sum + part.byteLength, 0);
    },
    welcome: () => undefined,
    event: () => undefined,
  });
  connection.hello();
  if (random(8) > 0) connection.receive(greeting);
  const ignore = () => undefined;
  for (let n = 0; n < 8; n += 1) {
    if (random(8) === 0 || connection.state !== 'open') break;
    connection.open('ping', {}, { response: ignore, reset: ignore, lost: ignore, data: ignore });
  }
  const bytes = mutated(random);
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random(random(4) === 0 ? 40 : 5000);
      connection.receive(bytes.subarray(at, at + size));
      at += size;
      if (connection.heldBytes > headerBytes + maxPayloadBytes) throw new Error('holds more than one frame');
    }
  } catch (error) {
    if (error instanceof ProtocolError) return 'refused';
    throw error;
  }
  // Only PONGs answer what the guest says; they are never larger than its pings.
  if (written > bytes.length + 65_536) throw new Error(`${bytes.length} bytes in made ${written} bytes out`);
  return 'taken';
}

const end = performance.now() + seconds * 1000;
const counts = { refused: 0, taken: 0 };
let seed = firstSeed;
for (; performance.now() < end; seed += 1) {
  const before = performance.now();
  try {
    counts[runOne(seed)] += 1;
  } catch (error) {
    console.error(`seed ${seed} failed`);
    throw error;
  }
  const took = performance.now() - before;
  if (took > 1000) throw new Error(`seed ${seed} took ${took.toFixed(0)} ms`);
}
console.log(
  `${seed - firstSeed} inputs from seed ${firstSeed}: ${counts.taken} taken, ${counts.refused} refused`,
);
