import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ExecConnection, Vm } from '@vivarium/model';
import { collect, failure } from './expect.ts';
import type { Given } from './index.ts';

export function sessionContract(given: Given): void {
  describe('sessions', () => {
    let vm: Vm;
    before(async () => {
      vm = await given().run('busybox', { name: 'contract-sessions' });
    });
    after(() => vm.delete({ force: true }));

    const printed = async (connection: ExecConnection) => {
      const pieces = await collect(connection.output);
      return Buffer.concat(pieces.map(({ data }) => data)).toString();
    };

    it('are started and left, listed, and read from an offset', async () => {
      const { id, argv, running, orphaned, tty } = await vm.sessions.start(['seq', '5']);
      assert.deepEqual([argv, orphaned, tty], [['seq', '5'], false, false]);
      assert.equal(typeof running, 'boolean');
      const all = await collect(vm.sessions.output(id, { follow: true }));
      const text = Buffer.concat(all.map(({ data }) => data)).toString();
      assert.deepEqual([text, all[0]?.stream, all[0]?.offset], ['1\n2\n3\n4\n5\n', 'stdout', 0]);
      const rest = await collect(vm.sessions.output(id, { from: { stdout: 6 } }));
      assert.deepEqual(
        rest.map(({ offset, data }) => [offset, Buffer.from(data).toString()]),
        [[6, '4\n5\n']],
      );
      const ended = await vm.sessions.get(id);
      assert.deepEqual([ended.running, ended.exit, ended.stdout], [false, { code: 0 }, { from: 0, to: 10 }]);
      assert.ok((await vm.sessions.list()).some((session) => session.id === id));
      await vm.sessions.kill(id);
      await failure(vm.sessions.get(id), 'not_found');
      await failure(vm.sessions.start(['no-such-command']), 'command_not_found');
    });

    it('wake a VM that sleeps when they are joined', async () => {
      const sleeper = await given().run('busybox', { name: 'contract-sleeper', wake: 'always' });
      const { id } = await sleeper.sessions.start(['cat'], { stdin: true });
      await sleeper.suspend();
      const joined = await sleeper.sessions.attach(id);
      assert.equal((await sleeper.refresh()).state, 'Running');
      await joined.close();
      await sleeper.delete({ force: true });
    });

    it('are joined again, written to, and left alone by whoever closes', async () => {
      const { id } = await vm.sessions.start(['cat'], { stdin: true });
      const first = await vm.sessions.attach(id);
      await first.write(Buffer.from('one\n'));
      const [piece] = await collect(first.output, 1);
      assert.equal(Buffer.from(piece?.data ?? '').toString(), 'one\n');
      await first.close();
      assert.equal((await vm.sessions.get(id)).running, true);
      const again = await vm.sessions.attach(id, { from: { stdout: 2n } });
      await again.write(Buffer.from('two\n'));
      await again.end();
      assert.equal(await printed(again), 'e\ntwo\n');
      assert.deepEqual(await again.exit, { code: 0 });
      await failure(vm.sessions.attach(id, { from: { stdout: 99n } }), 'conflict');
      await vm.sessions.kill(id);
    });

    it('are signalled and killed', async () => {
      const { id } = await vm.sessions.start(['sleep', '1000']);
      await vm.sessions.signal(id, 'SIGTERM');
      await collect(vm.sessions.output(id, { follow: true }));
      assert.deepEqual((await vm.sessions.get(id)).exit, { code: 143, signal: 'SIGTERM' });
      const other = await vm.sessions.start(['sleep', '1000']);
      await vm.sessions.kill(other.id);
      await failure(vm.sessions.get(other.id), 'not_found');
      await failure(vm.sessions.signal(other.id, 'SIGTERM'), 'not_found');
    });

    it('are listed whatever their number and the length of their commands', async () => {
      const script = `: ${'x'.repeat(20_000)}`;
      for (let n = 0; n < 60; n++) await vm.sessions.start(['echo', n < 4 ? script : String(n)]);
      const listed = (await vm.sessions.list()).filter(({ argv }) => argv[0] === 'echo');
      assert.deepEqual(
        listed.slice(4).map(({ argv }) => argv[1]),
        Array.from({ length: 56 }, (_, n) => String(n + 4)),
      );
      for (const { argv } of listed.slice(0, 4)) assert.ok(argv[1]?.startsWith(': xxx'));
      for (const { id } of listed) await vm.sessions.kill(id);
    });

    it('of a source are orphaned in its copy, and its own are not', async () => {
      const { id } = await vm.sessions.start(['sleep', '1000']);
      const [copy] = await vm.fork({ name: 'contract-sessions-copy' });
      assert.ok(copy);
      const own = await copy.sessions.start(['sleep', '1000']);
      const marks = async (of: Vm) =>
        (await of.sessions.list())
          .filter((session) => [id, own.id].includes(session.id))
          .map((session) => [session.id, session.orphaned]);
      assert.deepEqual(await marks(copy), [
        [id, true],
        [own.id, false],
      ]);
      assert.deepEqual(await marks(vm), [[id, false]]);
      await copy.delete({ force: true });
      await vm.sessions.kill(id);
    });
  });
}
