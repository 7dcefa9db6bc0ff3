import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { extract, pack } from 'tar-stream';
import { makeNode, SimulatedGuest } from '../drivers/simulated/guest/index.ts';
import { connectGuest } from './connect.ts';
import { connectedGuest, testDeadlineMs } from './connected-guest.ts';

interface Entry {
  name: string;
  type?: 'file' | 'directory' | 'symlink' | 'link';
  data?: Buffer;
  linkname?: string;
  mode?: number;
}

async function* tarOf(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  const tar = pack();
  for (const { data, ...header } of entries) {
    if (data === undefined) tar.entry(header);
    else tar.entry(header, data);
  }
  tar.finalize();
  yield* tar as unknown as AsyncIterable<Uint8Array>;
}

async function entriesOf(tar: AsyncIterable<Uint8Array>): Promise<(Entry & { mtime: Date })[]> {
  const reader = extract();
  const feeding = (async () => {
    for await (const chunk of tar) {
      if (!reader.write(chunk)) await new Promise<void>((resolve) => reader.once('drain', () => resolve()));
    }
    reader.end(null);
  })();
  feeding.catch((error) => reader.destroy(error));
  const found: (Entry & { mtime: Date })[] = [];
  for await (const entry of reader) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const { name, type, linkname, mode, mtime } = entry.header;
    found.push({ name, type: type as Entry['type'], linkname, mode, mtime, data: Buffer.concat(chunks) });
  }
  await feeding;
  return found;
}

const big = Buffer.alloc(2_500_000);
for (let i = 0; i < big.length; i += 4) big.writeUInt32LE(i, i);

test('a tree copied in comes out again: contents, modes, links', async () => {
  await using setting = await connectedGuest();
  const { guest } = setting;
  const sent: Entry[] = [
    { name: 'dir', type: 'directory', mode: 0o750 },
    { name: 'dir/big', type: 'file', data: big, mode: 0o600 },
    { name: 'dir/tool', type: 'file', data: Buffer.from('#!'), mode: 0o4755 },
    { name: 'dir/link', type: 'symlink', linkname: 'big' },
    { name: 'dir/same', type: 'link', linkname: 'dir/big' },
  ];
  const { entries, bytes } = await guest.copyIn('vm', '/srv', tarOf(sent));
  assert.equal(entries, sent.length);
  assert.equal(bytes, big.length + 2);
  const back = await entriesOf(guest.copyOut('vm', '/srv/dir'));
  const [dir, file, tool, link, same] = back;
  assert.deepEqual([dir?.name, dir?.type, dir?.mode], ['dir', 'directory', 0o750]);
  assert.ok(file?.data?.equals(big));
  assert.deepEqual([tool?.mode, tool?.data?.toString()], [0o4755, '#!']);
  assert.deepEqual([link?.type, link?.linkname], ['symlink', 'big']);
  assert.deepEqual([same?.type, same?.linkname], ['link', 'dir/big']);
  assert.equal((await guest.stat('vm', '/srv/dir/link', true)).sizeBytes, big.length);
  assert.equal((await guest.stat('vm', '/srv/dir/link', false)).linkTarget, 'big');
});

for (const [what, entry] of Object.entries({
  'an absolute name': { name: '/etc/passwd', data: Buffer.from('x') },
  'a name with ..': { name: 'a/../../x', data: Buffer.from('x') },
})) {
  test(`${what} is refused by the guest, and the copy ends`, async () => {
    await using setting = await connectedGuest();
    const copying = setting.guest.copyIn('vm', '/srv', tarOf([entry, { name: 'big', data: big }]));
    await assert.rejects(copying, (error) => isVivError(error, 'archive_hostile'));
    await setting.guest.ping();
  });
}

test('a tar stream that breaks off is archive_invalid', async () => {
  await using setting = await connectedGuest();
  async function* broken() {
    for await (const chunk of tarOf([{ name: 'big', data: big }])) {
      yield chunk.subarray(0, 10_000);
      return;
    }
  }
  await assert.rejects(setting.guest.copyIn('vm', '/srv', broken()), (error) =>
    isVivError(error, 'archive_invalid'),
  );
});

test('paths that are not there are path_not_found in both directions', async () => {
  await using setting = await connectedGuest();
  const missing = (error: unknown) => isVivError(error, 'path_not_found');
  await assert.rejects(setting.guest.copyIn('vm', '/none', tarOf([{ name: 'big', data: big }])), missing);
  await assert.rejects(entriesOf(setting.guest.copyOut('vm', '/none')), missing);
});

test('a refusal ends a copy whose source has nothing more to say', async () => {
  await using setting = await connectedGuest();
  let returned = false;
  const silent: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => undefined),
      return: async () => {
        returned = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const copying = setting.guest.copyIn('vm', '/none', silent);
  await assert.rejects(copying, (error) => isVivError(error, 'path_not_found'));
  assert.ok(returned);
});

test("the source's own error is the copy's, and the guest forgets the copy", async () => {
  await using setting = await connectedGuest();
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(512);
    throw new Error('disk on fire');
  }
  await assert.rejects(setting.guest.copyIn('vm', '/srv', failing()), /disk on fire/);
  await setting.guest.copyIn('vm', '/srv', tarOf([{ name: 'next', data: Buffer.from('x') }]));
  assert.equal(setting.simulated.port('bulk')?.streamCount, 0);
});

test('aborting ends a copy in either direction and frees the channel for the next', async () => {
  await using setting = await connectedGuest();
  const { guest, simulated } = setting;
  const abort = new AbortController();
  async function* endless() {
    for (let n = 0; ; n += 1) {
      if (n === 5) abort.abort();
      yield Buffer.alloc(65_536);
    }
  }
  const cancelled = (error: unknown) => isVivError(error, 'cancelled');
  await assert.rejects(guest.copyIn('vm', '/srv', endless(), abort.signal), cancelled);
  simulated.system.tree('vm').root.children.set('big', makeNode('file', 0o644, { data: big }));
  const leaving = new AbortController();
  const reading = (async () => {
    for await (const _ of guest.copyOut('vm', '/big', { signal: leaving.signal })) leaving.abort();
  })();
  await assert.rejects(reading, cancelled);
  for await (const _ of guest.copyOut('vm', '/big')) break;
  assert.equal((await entriesOf(guest.copyOut('vm', '/big')))[0]?.data?.length, big.length);
  assert.equal(simulated.port('bulk')?.streamCount, 0);
});

test('a copy does not hold up the control channel', async () => {
  await using setting = await connectedGuest();
  const { guest, simulated } = setting;
  simulated.system.tree('vm').root.children.set('big', makeNode('file', 0o644, { data: big }));
  const unread = guest.copyOut('vm', '/big')[Symbol.asyncIterator]();
  await unread.next();
  await guest.ping();
  await unread.return?.();
});

test('the buffers of a source may be reused once it is asked for more', async () => {
  await using setting = await connectedGuest();
  const source: Buffer[] = [];
  for await (const chunk of tarOf([{ name: 'big', data: big }])) source.push(Buffer.from(chunk));
  const whole = Buffer.concat(source);
  async function* reusing() {
    const buffer = Buffer.alloc(100_000);
    for (let at = 0; at < whole.length; at += buffer.length) {
      const size = whole.copy(buffer, 0, at);
      yield buffer.subarray(0, size);
      buffer.fill(0xff);
    }
  }
  await setting.guest.copyIn('vm', '/srv', reusing());
  assert.ok(setting.simulated.system.tree('vm').resolve('/srv/big', true).data.equals(big));
});

test('a copy that is given up does not wait for a guest that takes nothing any more', async () => {
  const simulated = new SimulatedGuest();
  let stalled = false;
  // What is written to a VMM whose guest stands still stays where it is.
  const stalling = () => {
    const inner = simulated.connect('bulk');
    const outer = new Duplex({
      read: () => undefined,
      write: (chunk, _, done) => {
        if (!stalled) inner.write(chunk, done);
      },
      destroy: (error, done) => {
        inner.destroy();
        done(error);
      },
    });
    inner.on('data', (chunk) => outer.push(chunk));
    return outer;
  };
  await using guest = await connectGuest(
    async (channel) => (channel === 'bulk' ? stalling() : simulated.connect(channel)),
    AbortSignal.timeout(testDeadlineMs),
  );
  const abort = new AbortController();
  async function* source() {
    yield Buffer.alloc(512);
    stalled = true;
    setImmediate(() => abort.abort());
    for (;;) yield Buffer.alloc(65_536);
  }
  await assert.rejects(guest.copyIn('vm', '/srv', source(), abort.signal), (error) =>
    isVivError(error, 'cancelled'),
  );
  simulated.end();
});
