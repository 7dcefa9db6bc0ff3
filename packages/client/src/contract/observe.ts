import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collect, failure } from './expect.ts';
import type { Given } from './index.ts';

export function observeContract(given: Given): void {
  describe('what is to be seen', () => {
    it('events come with numbers, stored ones first, until the signal fires', async () => {
      const vm = await given().create({ image: 'busybox' });
      await vm.start();
      await vm.delete({ force: true });
      const controller = new AbortController();
      const seen: string[] = [];
      let last = 0;
      for await (const event of given().events({ since: 0, signal: controller.signal })) {
        assert.ok(event.seq > last, `${event.seq} after ${last}`);
        last = event.seq;
        if (event.instanceId !== vm.id) continue;
        seen.push(event.type);
        if (event.type === 'deleted') controller.abort();
      }
      for (const type of ['created', 'state', 'operation'])
        assert.ok(seen.includes(type), `no ${type} among ${seen}`);
    });

    it('new events reach who waits for them', async () => {
      const controller = new AbortController();
      const events = given().events({ signal: controller.signal })[Symbol.asyncIterator]();
      const next = events.next();
      // The stream begins with what comes after it was asked for; something must come until it has.
      let begun = false;
      const seen = next.finally(() => {
        begun = true;
      });
      for (let made = 0; !begun; made++) {
        await (await given().create({ image: 'busybox', name: `contract-event-${made}` })).delete();
      }
      const first = await seen;
      controller.abort();
      assert.match(first.value?.instanceName ?? '', /^contract-event-/);
      await events.return?.();
    });

    it('the output of the entrypoint is in the log, and follows it', async () => {
      await using vm = await given().run('busybox', {
        cmd: ['sh', '-c', 'echo first; echo second; sleep 1000'],
      });
      const followed = await collect(vm.logs({ follow: true }), 2);
      assert.deepEqual(
        followed.map(({ text }) => text),
        ['first', 'second'],
      );
      assert.deepEqual(
        (await collect(vm.logs({ tail: 1 }))).map(({ text }) => text),
        ['second'],
      );
    });

    it('the entrypoint is attached to, both ways', async () => {
      await using vm = await given().run('busybox', { cmd: ['cat'], stdin: 'open', attach: true });
      const connection = await vm.attach();
      const output = connection.output[Symbol.asyncIterator]();
      await connection.write(Buffer.from('ping'));
      assert.equal(Buffer.from((await output.next()).value?.data ?? []).toString(), 'ping');
      await connection.end();
      assert.equal((await connection.exit).code, 0);
      await connection.close();
    });

    it('statistics are those of a running VM', async () => {
      await using vm = await given().run('busybox');
      const stats = await vm.stats();
      assert.ok(stats.memory.totalBytes > 100 * 1024 ** 2);
      assert.ok(stats.processes > 0);
      await vm.stop();
      await failure(vm.stats(), 'invalid_state');
    });

    it('the doctor has something to say', async () => {
      const { checks } = await given().doctor();
      assert.ok(checks.length > 0);
      for (const check of checks) assert.ok(check.message.length > 0);
    });
  });
}
