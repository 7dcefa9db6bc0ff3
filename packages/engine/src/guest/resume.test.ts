import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import type { Program } from '../drivers/simulated/guest/index.ts';
import { type ConnectedGuest, collect, connectedGuest, execSpec, guestConfig } from './connected-guest.ts';
import type { GuestExecConnection } from './guest.ts';

/** Copies stdin to stdout and, a byte for each chunk, to stderr. */
const tee: Program = async (io) => {
  for (let chunk = await io.read(); chunk !== undefined; chunk = await io.read()) {
    await io.out(chunk);
    await io.err('.');
  }
  return 0;
};

/** Bytes without a short period: a lost or doubled piece shows. */
function counted(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let i = 0; i + 4 <= bytes; i += 4) data.writeUInt32LE(i, i);
  return data;
}

/** Feeds `sent` and reads everything, joining the session again after each loss. */
async function pumpThrough(setting: ConnectedGuest, sent: Buffer, drops: readonly number[]) {
  const out: Uint8Array[] = [];
  const losses = [...drops];
  const spec = execSpec(['tee'], { stdin: true });
  const arm = () => {
    setting.simulated.faults.dropAfterBytes = losses.shift();
  };
  const feed = async (connection: GuestExecConnection) => {
    await connection.write(sent.subarray(Number(connection.stdinAccepted)));
    await connection.end();
  };
  let connection = await setting.guest.exec(spec);
  arm();
  for (;;) {
    const fed = feed(connection).catch((error) => assert.ok(isVivError(error, 'agent_unreachable'), error));
    try {
      for await (const { stream, data } of connection.output) if (stream === 'stdout') out.push(data);
      const exit = await connection.exit;
      await fed;
      return { out: Buffer.concat(out), exit, left: losses.length };
    } catch (error) {
      assert.ok(isVivError(error, 'agent_unreachable'), String(error));
      await fed;
      const point = { ...connection.delivered };
      assert.equal(Number(point.stdout), Buffer.concat(out).length);
      const guest = await setting.reconnect();
      connection = await guest.resumeExec(spec.execId, point);
      arm();
    }
  }
}

test('a session goes on over lost connections with no byte lost or doubled', async () => {
  const sizes = fc.integer({ min: 0, max: 900_000 });
  const drops = fc.array(fc.integer({ min: 1, max: 300_000 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(sizes, drops, async (size, losses) => {
      await using setting = await connectedGuest({ programs: { tee } });
      const sent = counted(size);
      const { out, exit } = await pumpThrough(setting, sent, losses);
      assert.equal(out.length, sent.length);
      assert.ok(out.equals(sent));
      assert.deepEqual(exit, { code: 0 });
    }),
    { numRuns: 60 },
  );
});

test('stdin that an earlier connection brought earns the next one no credit', async () => {
  const half = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  const late: Program = async (io) => {
    await half.promise;
    for (let read = 0; read < 200_000; ) read += (await io.read())?.length ?? 0;
    taken.resolve();
    await io.sleep(1e9);
    return 0;
  };
  await using setting = await connectedGuest({ programs: { late } });
  const spec = execSpec(['late'], { stdin: true });
  const first = await setting.guest.exec(spec);
  await first.write(Buffer.alloc(100_000));
  await first.write(Buffer.alloc(100_000));
  await setting.guest.ping();
  setting.simulated.drop('control');
  const guest = await setting.reconnect();
  const second = await guest.resumeExec(spec.execId);
  assert.equal(second.stdinAccepted, 200_000n);
  half.resolve();
  await taken.promise;
  await second.write(Buffer.alloc(50_000));
  await guest.ping();
  // The command has read what the first connection sent, and nothing of these.
  assert.equal(second.stdinAccepted, 200_000n);
});

test('without a point a session is joined at the oldest byte still held', async () => {
  await using setting = await connectedGuest();
  const spec = execSpec(['echo', 'once']);
  const first = await setting.guest.exec(spec);
  assert.equal((await collect(first)).stdout, 'once\n');
  const again = await setting.guest.resumeExec(spec.execId);
  assert.equal((await collect(again)).stdout, 'once\n');
  assert.deepEqual(await again.exit, { code: 0 });
  const rest = await setting.guest.resumeExec(spec.execId, { stdout: 2n, stderr: 0n });
  assert.equal((await collect(rest)).stdout, 'ce\n');
  assert.deepEqual(rest.delivered, { stdout: 5n, stderr: 0n });
});

test('an offset that was never written, and a session that is gone, are refused', async () => {
  await using setting = await connectedGuest();
  const spec = execSpec(['echo', 'x']);
  const exec = await setting.guest.exec(spec);
  await collect(exec);
  const beyond = setting.guest.resumeExec(spec.execId, { stdout: 100n, stderr: 0n });
  await assert.rejects(beyond, (error) => isVivError(error, 'conflict'));
  await exec.close();
  await assert.rejects(setting.guest.resumeExec(spec.execId), (error) => isVivError(error, 'not_found'));
});

test('a second reader takes the session over from the first', async () => {
  await using setting = await connectedGuest();
  const spec = execSpec(['cat'], { stdin: true });
  const first = await setting.guest.exec(spec);
  const second = await setting.guest.resumeExec(spec.execId);
  await assert.rejects(collect(first), (error) => isVivError(error, 'conflict'));
  await second.write(Buffer.from('for the second'));
  await second.end();
  assert.equal((await collect(second)).stdout, 'for the second');
});

test('letting go leaves the command running', async () => {
  await using setting = await connectedGuest();
  const spec = execSpec(['cat'], { stdin: true });
  const exec = await setting.guest.exec(spec);
  exec.detach();
  await assert.rejects(exec.exit, (error) => isVivError(error, 'cancelled'));
  const [session] = await setting.guest.sessions();
  const { execId, target, argv, running } = session ?? {};
  assert.deepEqual([execId, target, argv, running], [spec.execId, 'vm', ['cat'], true]);
  const again = await setting.guest.resumeExec(spec.execId);
  await again.end();
  assert.deepEqual(await again.exit, { code: 0 });
});

test('a reader of a ring that has fallen behind misses the oldest bytes and keeps its offsets', async () => {
  await using setting = await connectedGuest();
  const { guest } = setting;
  await guest.configure(guestConfig);
  const ring = { env: {}, cwd: '/', user: '', stdin: 'null', output: 'ring' } as const;
  const ended = new Promise<void>((resolve) => guest.onWorkloadExit(() => resolve()));
  await guest.startWorkload({ id: 'root', argv: ['seq', '500000'], ...ring });
  const slow = await guest.resumeExec('workload:root', { stdout: 0n, stderr: 0n });
  await ended;
  const { stdout } = await collect(slow);
  assert.ok(stdout.startsWith('1\n2\n'));
  assert.ok(stdout.endsWith('499999\n500000\n'));
  const written = 3_388_895; // 9 * 2 + 90 * 3 + 900 * 4 + 9000 * 5 + 90000 * 6 + 400001 * 7 bytes
  assert.ok(stdout.length < written);
  assert.deepEqual(slow.delivered, { stdout: BigInt(written), stderr: 0n });
  assert.deepEqual(await slow.exit, { code: 0 });
});
