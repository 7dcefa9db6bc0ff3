/**
 * Writes frames.json and streams.json. Lays the bytes out by itself, without `src/frame.ts`, so that a mistake there
 * does not repeat itself here. The CBOR is spelt out through cborg; every reader must take any valid encoding.
 */
import { writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { encode } from 'cborg';

interface Vector {
  name: string;
  type: number;
  flags: number;
  epoch: string;
  stream: number;
  payload: Buffer;
}

const epochs = { plain: '0123456789abcdef', high: 'ffffffffffffffff', zero: '0000000000000000', other: '8000000000000001' };
const cbor = (value: unknown): Buffer => Buffer.from(encode(value));
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
/** Bytes without a short period, the same in every language: byte i is (i * 31 + (i >> 8)) & 255. */
const pattern = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255));

function bytesOf(vector: Omit<Vector, 'name'>): Buffer {
  const head = Buffer.alloc(28);
  head.write('VIV1', 0, 'latin1');
  head.writeUInt8(1, 4);
  head.writeUInt8(vector.type, 5);
  head.writeUInt16LE(vector.flags, 6);
  head.writeBigUInt64LE(BigInt(`0x${vector.epoch}`), 8);
  head.writeUInt32LE(vector.stream, 16);
  head.writeUInt32LE(vector.payload.length, 20);
  head.writeUInt32LE(crc32(head.subarray(0, 24)), 24);
  return Buffer.concat([head, vector.payload]);
}

const frame = (name: string, type: number, flags: number, stream: number, payload: Buffer, epoch = epochs.plain): Vector => ({
  name,
  type,
  flags,
  epoch,
  stream,
  payload,
});
const none = Buffer.alloc(0);
const error = { code: 'path_not_found', message: '/nowhere: no such file or directory', errno: 2 };

const frames: Vector[] = [
  frame('hello', 0x01, 0, 0, cbor({ versions: [1], host: 'vivarium/0.1.0' })),
  frame('hello, highest epoch', 0x01, 0, 0, cbor({ versions: [1, 2], host: '' }), epochs.high),
  frame('hello, epoch zero', 0x01, 0, 0, cbor({ versions: [1], host: 'vivarium/0.1.0' }), epochs.zero),
  frame('welcome', 0x02, 0, 0, cbor({ version: 1, agent: '0.1.0', bootId: '3c1e9a4c-8a64-4f3c-9d1f-7f6f0b3c2a11', generation: 1, features: ['exec', 'copy', 'tcp'] })),
  frame('welcome, no common version', 0x02, 0, 0, cbor({ version: 0, agent: '0.1.0', bootId: 'b', generation: 0, features: [] })),
  frame('request ping', 0x10, 0, 1, cbor({ m: 'ping', p: {} })),
  frame('request exec.start', 0x10, 0, 7, cbor({ m: 'exec.start', p: { execId: 'e1', target: 'root', argv: ['sh', '-c', 'echo ü'], env: { PATH: '/bin', 'A B': '' }, cwd: '/', user: '0:0', tty: { rows: 24, cols: 80 }, stdin: true } })),
  frame('request configure', 0x10, 0, 2, cbor({ m: 'configure', p: { hostname: 'web', machineId: '00112233445566778899aabbccddeeff', generation: 3, entropy: pattern(64), clockNanos: 1_800_000_000_123_456_789n, network: { mac: '02:00:00:00:00:01', address: '10.1.2.2/24', gateway: '10.1.2.1', dns: ['10.1.2.3'], mtu: 1500 }, root: { layers: 3, layersSerial: 'layers', overlaySerial: 'root' } } })),
  frame('request identity with a clock source', 0x10, 0, 4, cbor({ m: 'identity', p: { hostname: 'web', machineId: '00112233445566778899aabbccddeeff', generation: 4, entropy: pattern(64), clockNanos: 1_800_000_000_123_456_789n, clockSource: 'acpi_pm', copy: false, resetConnections: true } })),
  frame('response identity with a clock source', 0x11, 0, 4, cbor({ ok: true, r: { clockSource: 'acpi_pm' } })),
  frame('request exec.attach with offsets beyond 32 bits', 0x10, 0, 9, cbor({ m: 'exec.attach', p: { execId: 'workload:root', stdout: 5_000_000_000n, stderr: 0 } })),
  frame('request fs.list', 0x10, 0, 12, cbor({ m: 'fs.list', p: { target: 'root', path: '/srv', after: 'größe' } })),
  frame('request fs.mkdir', 0x10, 0, 13, cbor({ m: 'fs.mkdir', p: { target: 'root', path: '/a/b', parents: true, mode: 0o750, uid: 1000 } })),
  frame('request fs.watch', 0x10, 0, 14, cbor({ m: 'fs.watch', p: { target: 'vm', path: '/', recursive: true } })),
  frame('request exec.read', 0x10, 0, 15, cbor({ m: 'exec.read', p: { execId: 'e1', stream: 'stderr', from: 5_000_000_000n } })),
  frame('response fs.list', 0x11, 0, 12, cbor({ ok: true, r: { entries: [{ name: 'link', kind: 'symlink', size: 4, mode: 0o777, uid: 0, gid: 0, mtimeNanos: -1n, link: '/etc' }], more: true } })),
  frame('response exec.read', 0x11, 0, 15, cbor({ ok: true, r: { from: 5_000_000_001n, data: pattern(3), over: false } })),
  frame('event change', 0x12, 0, 14, cbor({ e: 'change', changes: [{ kind: 'renamed', path: 'b', from: 'a' }, { kind: 'removed', path: '' }], lost: true })),
  frame('request volume.mount', 0x10, 0, 13, cbor({ m: 'volume.mount', p: { serial: 'v0123456789abcdef', path: '/data/ü', mode: 'overlay', layer: 'k3v9' } })),
  frame('request volume.unmount', 0x10, 0, 15, cbor({ m: 'volume.unmount', p: { serial: 'v0123456789abcdef', force: false } })),
  frame('request volume.grow', 0x10, 0, 17, cbor({ m: 'volume.grow', p: { serial: 'v0123456789abcdef' } })),
  frame('response volume.list', 0x11, 0, 19, cbor({ ok: true, r: { volumes: [{ serial: 'v0123456789abcdef', path: '/data', mode: 'ro' }] } })),
  frame('response volume in use', 0x11, 0, 15, cbor({ ok: false, e: { code: 'conflict', message: '/data is in use by sleep (pid 10)', errno: 16 } })),
  frame('response ok', 0x11, 0, 1, cbor({ ok: true, r: {} })),
  frame('response with floats', 0x11, 0, 2, cbor({ ok: true, r: { stages: [{ name: 'modules', ms: 12.25 }, { name: 'root', ms: 3 }] } })),
  frame('response with a negative time', 0x11, 0, 11, cbor({ ok: true, r: { path: '/old', kind: 'file', size: 1, mode: 0o644, uid: 0, gid: 0, mtimeNanos: -1_000_000_000n } })),
  frame('response error', 0x11, 0, 3, cbor({ ok: false, e: error })),
  frame('event exit', 0x12, 0, 7, cbor({ e: 'exit', code: 137, signal: 'SIGKILL', oom: true })),
  frame('event workload.exit', 0x12, 0, 0, cbor({ e: 'workload.exit', id: 'root', code: 0, oom: false })),
  frame('event log', 0x12, 0, 0, cbor({ e: 'log', level: 'warn', text: 'clock was 12 s behind' })),
  frame('data stdin', 0x20, 0, 7, Buffer.from('hello\n')),
  frame('data stdout', 0x20, 1, 7, Buffer.from('out\n')),
  frame('data stderr', 0x20, 2, 7, Buffer.from('err\n')),
  frame('data empty', 0x20, 1, 7, none),
  frame('data one byte', 0x20, 0, 8, Buffer.from([0])),
  frame('data that looks like a header', 0x20, 0, 8, Buffer.from('VIV1VIV1\x01\x20VIV1', 'latin1')),
  frame('data of the largest size, highest stream', 0x20, 0, 0xffffffff, pattern(65_536), epochs.other),
  frame('eof stdin', 0x21, 0, 7, none),
  frame('eof stdout', 0x21, 1, 7, none),
  frame('eof stderr', 0x21, 2, 7, none),
  frame('credit stdin', 0x22, 0, 7, u32(65_536)),
  frame('credit stdout', 0x22, 1, 7, u32(262_144)),
  frame('credit stderr, most', 0x22, 2, 7, u32(0xffffffff)),
  frame('reset', 0x23, 0, 7, cbor({ code: 'cancelled', message: 'the caller gave up' })),
  frame('reset with a stage', 0x23, 0, 8, cbor({ code: 'boot_failed', message: 'no such disk', errno: 6, stage: 'disks' })),
  frame('ping', 0x30, 0, 0, pattern(64)),
  frame('ping empty', 0x30, 0, 0, none),
  frame('pong', 0x31, 0, 0, pattern(64)),
  frame('a type nobody knows yet', 0x7f, 0, 0, Buffer.from('future')),
];

const byName = new Map(frames.map((vector) => [vector.name, vector]));
const get = (name: string): Vector => {
  const vector = byName.get(name);
  if (vector === undefined) throw new Error(`no vector ${name}`);
  return vector;
};
type Piece = string | Buffer;

/** Frames by name, garbage as bytes. Every stream ends with a whole frame or in the middle of a valid one. */
function stream(name: string, pieces: Piece[], skip: string[] = [], cutBytes = 0) {
  const all = Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? bytesOf(get(piece)) : piece)));
  const expected = pieces.filter((piece): piece is string => typeof piece === 'string');
  const whole = cutBytes > 0 ? expected.slice(0, -1) : expected;
  const discarded = pieces.reduce((sum, piece) => sum + (typeof piece === 'string' ? 0 : piece.length), 0);
  const bytes = all.subarray(0, all.length - cutBytes);
  return { name, bytes: bytes.toString('hex'), frames: whole.filter((each) => !skip.includes(each)), discarded };
}

const damaged = (name: string, at: number, value: number): Buffer => {
  const bytes = bytesOf(get(name));
  bytes[at] = value;
  return bytes;
};
/** A header whose check is right although the rest is not. */
const rechecked = (name: string, change: (bytes: Buffer) => void): Buffer => {
  const bytes = bytesOf(get(name));
  change(bytes);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 24)), 24);
  return bytes;
};
const falseMagics = Buffer.from('VIV1'.repeat(500), 'latin1');

const streams = [
  stream('two frames', ['hello', 'request ping']),
  stream('empty payloads back to back', ['eof stdout', 'eof stderr', 'ping empty', 'data empty']),
  stream('garbage before', [Buffer.from('login: \r\n'), 'welcome']),
  stream('garbage between', ['welcome', pattern(1000), 'response ok', Buffer.from([0x56]), 'pong']),
  stream('a run of the first magic byte', [Buffer.alloc(300, 0x56), 'welcome']),
  stream('false magics', [falseMagics, 'welcome', Buffer.from('VIV', 'latin1'), 'pong']),
  stream('a magic that is cut by a real one', [Buffer.from('VIVVIV', 'latin1'), 'welcome']),
  stream('wrong version, check right', [rechecked('request ping', (bytes) => bytes.writeUInt8(2, 4)), 'welcome']),
  stream('length over the limit, check right', [rechecked('response ok', (bytes) => bytes.writeUInt32LE(65_537, 20)), 'welcome']),
  stream('length of 4 GiB, check right', [rechecked('response ok', (bytes) => bytes.writeUInt32LE(0xffffffff, 20)), 'welcome']),
  stream('check wrong by one bit', [damaged('data stdout', 24, (bytesOf(get('data stdout'))[24] ?? 0) ^ 1), 'welcome']),
  stream('epoch damaged, check wrong', [damaged('response ok', 8, 0), 'welcome']),
  stream('a header inside a payload is payload', ['data that looks like a header', 'eof stdin']),
  stream('a header cut short, then a new conversation', [bytesOf(get('data stdout')).subarray(0, 20), 'hello', 'request ping']),
  stream('unknown type is still a frame', ['a type nobody knows yet', 'pong']),
  stream('64 KiB of zeros, then hello', [Buffer.alloc(65_536), 'hello']),
  stream('ends within a payload', ['welcome', 'response ok'], [], 3),
  stream('ends within a header', ['welcome', 'response ok'], [], bytesOf(get('response ok')).length - 13),
  stream('the largest frame between small ones', ['ping', 'data of the largest size, highest stream', 'pong']),
];

const hex = frames.map((vector) => ({
  name: vector.name,
  type: vector.type,
  flags: vector.flags,
  epoch: vector.epoch,
  stream: vector.stream,
  payload: vector.payload.toString('hex'),
  bytes: bytesOf(vector).toString('hex'),
}));
const write = (file: string, value: readonly object[]) =>
  writeFileSync(new URL(file, import.meta.url), `[\n${value.map((each) => JSON.stringify(each)).join(',\n')}\n]\n`);
write('frames.json', hex);
write('streams.json', streams);
