import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ServiceHouse } from '../service/fixtures/service-house.ts';
import { readRecord } from '../store/record.ts';
import { failure } from './fixtures/house.ts';

let service: ServiceHouse;
beforeEach(async () => {
  service = await ServiceHouse.open();
});
afterEach(async () => {
  await service[Symbol.asyncDispose]();
});

describe('an update', () => {
  it('merges the environment, which a running workload gets with its next start', async () => {
    const vm = await service.engine.run('busybox', {
      cmd: ['sh'],
      stdin: 'open',
      env: { A: '1', B: '2', C: '3' },
    });
    const info = await vm.update({ env: { B: '20', C: null, D: '4' } });
    assert.deepEqual(
      { A: info.env.A, B: info.env.B, C: info.env.C, D: info.env.D },
      {
        A: '1',
        B: '20',
        C: undefined,
        D: '4',
      },
    );
    assert.deepEqual(info.pendingChanges, ['env']);
    await vm.restart();
    assert.equal(vm.info.pendingChanges, undefined);
    const session = await vm.attach();
    await session.write(Buffer.from('env\n'));
    let printed = '';
    for await (const { data } of session.output) {
      printed += Buffer.from(data).toString();
      if (/^B=20$/m.test(printed)) break;
    }
    await session.close();
    await vm.stop();
    assert.equal((await vm.update({ env: { B: '21' } })).pendingChanges, undefined);
  });

  it('merges tags, and knows how many there may be', async () => {
    const vm = await service.engine.create({ image: 'busybox', tags: { a: '1', b: '2' } });
    assert.deepEqual((await vm.update({ tags: { a: null, c: '3' } })).tags, { b: '2', c: '3' });
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`t${index}`, '']));
    assert.equal((await failure(vm.update({ tags: many }))).code, 'invalid_request');
    assert.deepEqual(vm.info.tags, { b: '2', c: '3' });
  });

  it('is done as a whole or not at all, and is told and kept', async () => {
    const vm = await service.engine.create({ image: 'busybox' });
    const error = await failure(vm.update({ tags: { a: '1' }, env: { 'B=': '' } }));
    assert.equal(error.code, 'invalid_request');
    assert.deepEqual(vm.info.tags, {});
    await vm.update({ tags: { a: '1' }, restartPolicy: { policy: 'always' }, ttlMs: 3_600_000 });
    const event = await service.happened(vm, 'updated');
    assert.deepEqual(event.data, { fields: ['tags', 'ttlMs', 'restartPolicy'] });
    const record = await readRecord(service.house.dir(vm.id));
    assert.deepEqual(record?.spec.tags, { a: '1' });
    assert.ok(record?.expiresAt);
    await service.house.reopen();
    const { info } = await service.engine.get(vm.id);
    assert.equal(info.restartPolicy?.policy, 'always');
    assert.ok(info.expiresAt);
  });

  it('of everything at once is one operation with one event', async () => {
    const vm = await service.engine.create({ image: 'busybox', name: 'before' });
    const before = service.engine.lastEvent;
    const info = await vm.update({
      name: 'after',
      disk: '12GB',
      tags: { a: '1' },
      autoStandby: { enabled: true },
      wake: 'always',
      limits: { cpus: 0.5 },
    });
    const { name, diskBytes, tags, autoStandby, wake, limits } = info;
    assert.deepEqual(
      { name, diskBytes, tags, autoStandby, wake, limits },
      {
        name: 'after',
        diskBytes: 12 * 1024 ** 3,
        tags: { a: '1' },
        autoStandby: { enabled: true },
        wake: 'always',
        limits: { cpus: 0.5 },
      },
    );
    assert.deepEqual((await readRecord(service.house.dir(vm.id)))?.spec.tags, { a: '1' });
    const seen: string[] = [];
    for await (const { type, data } of service.engine.events({ since: before, follow: false })) {
      if (type !== 'operation') seen.push(type);
      else if (data.outcome === 'begun') seen.push(`${data.action}`);
      if (type === 'updated')
        assert.deepEqual(data.fields, ['tags', 'autoStandby', 'wake', 'limits', 'disk']);
    }
    assert.deepEqual(seen, ['update', 'renamed', 'updated']);
  });

  it('changes nothing where one of the things asked for is refused', async () => {
    await service.engine.create({ image: 'busybox', name: 'taken' });
    const vm = await service.engine.create({ image: 'busybox', name: 'same' });
    const asked = { name: 'other', disk: '12GB', tags: { a: '1' }, wake: 'always' } as const;
    const refusals = {
      name_conflict: { name: 'taken' },
      invalid_name: { name: 'No' },
      invalid_size: { disk: '1GB' },
      invalid_request: { limits: { cpus: -1 } },
    };
    const before = vm.info;
    for (const [code, more] of Object.entries(refusals)) {
      assert.equal((await failure(vm.update({ ...asked, ...more }))).code, code);
      assert.deepEqual(vm.info, before, code);
    }
  });

  it('whose disk can not be grown takes the rest back, name and all', async () => {
    const vm = await service.engine.run('busybox', { name: 'same' });
    const before = vm.info;
    service.house.host.faults.inject('grow-disk', { effect: 'error' });
    await failure(vm.update({ name: 'other', disk: '12GB', tags: { a: '1' } }));
    const same = ({ name, diskBytes, tags }: typeof before) => ({ name, diskBytes, tags });
    assert.deepEqual(same(vm.info), same(before));
    assert.deepEqual((await readRecord(service.house.dir(vm.id)))?.spec.tags, {});
    // The name is free again, and nothing stands in the way of another attempt.
    await service.engine.create({ image: 'busybox', name: 'other' });
    assert.equal((await vm.update({ name: 'third', disk: '12GB' })).name, 'third');
  });

  it('where it can not be written leaves everything as it was', async () => {
    const vm = await service.engine.create({ image: 'busybox', tags: { a: '1' } });
    const allow = service.house.refuse('UPDATE', 'operations');
    await failure(vm.update({ tags: { a: '2' }, ttlMs: 1000 }));
    allow();
    assert.deepEqual(vm.info.tags, { a: '1' });
    assert.equal(vm.info.expiresAt, undefined);
  });

  it('of a policy keeps what is not named, and gives another chance', async () => {
    const vm = await service.engine.run('busybox', {
      cmd: ['sh'],
      stdin: 'open',
      restartPolicy: { policy: 'on_failure', maxAttempts: 1, backoffMs: 1000 },
    });
    await service.end(vm, 1);
    await service.restarted(vm);
    await service.end(vm, 1);
    assert.equal((await vm.refresh()).restart?.blockedReason, 'max_attempts_exceeded');
    await vm.update({ restartPolicy: { policy: 'on_failure', maxAttempts: 5 } });
    assert.equal(vm.info.restartPolicy?.backoffMs, 1000);
    assert.equal(vm.info.restart, undefined);
    // It is no start: that is somebody's to do.
    assert.equal(vm.info.state, 'Stopped');
    await vm.update({ restartPolicy: { policy: 'never' } });
    assert.equal(vm.info.restartPolicy, undefined);
  });

  it('of nothing is nothing, and what holds the instance is named', async () => {
    const vm = await service.engine.create({ image: 'busybox' });
    const before = service.engine.lastEvent;
    await vm.update({});
    assert.equal(service.engine.lastEvent, before);
    const start = vm.start();
    start.then(undefined, () => undefined);
    await service.happened(vm, 'state', { fits: ({ to }) => to === 'Starting' });
    const outcome = await vm.update({ tags: { a: '1' } }).then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    assert.ok(['done', 'busy'].includes(outcome), outcome);
    await start;
  });
});

describe('a start with another command', () => {
  it('keeps it for the starts that follow, and keeps the half that is not named', async () => {
    const vm = await service.engine.create({ image: 'busybox', entrypoint: ['sleep'], cmd: ['5'] });
    await vm.start({ cmd: ['infinity'] });
    assert.deepEqual((await vm.refresh()).command, ['sleep', 'infinity']);
    await vm.stop();
    await vm.start();
    assert.deepEqual((await vm.refresh()).command, ['sleep', 'infinity']);
    await vm.stop();
    // Another program drops the arguments of the one before, as at the creation.
    await vm.start({ entrypoint: ['sh'] });
    assert.deepEqual((await vm.refresh()).command, ['sh']);
  });

  it('is refused where the guest does not boot, and without one nothing changes', async () => {
    const vm = await service.engine.run('busybox', { cmd: ['sleep', '100'] });
    assert.deepEqual(await vm.start(), { changed: false, state: 'Running' });
    assert.equal((await failure(vm.start({ cmd: ['sleep', '1'] }))).code, 'invalid_state');
    await vm.suspend();
    assert.equal((await failure(vm.start({ cmd: ['sleep', '1'] }))).code, 'invalid_state');
    await vm.start({ cmd: ['sleep', '200'], cold: true });
    assert.deepEqual((await vm.refresh()).command, ['sleep', '200']);
  });

  it('that fails leaves the old one', async () => {
    const vm = await service.engine.create({ image: 'busybox', cmd: ['sleep', '100'] });
    assert.equal((await failure(vm.start({ cmd: ['no-such-program'] }))).code, 'command_not_found');
    assert.deepEqual((await vm.refresh()).command, ['sleep', '100']);
    assert.equal((await failure(vm.start({ cmd: ['a\0b'] }))).code, 'invalid_request');
  });

  it('knows the halves of a command from before they were kept', async () => {
    const vm = await service.engine.create({ image: 'busybox', cmd: ['sleep', '100'] });
    await service.house.kill();
    service.house.sql("UPDATE instances SET record = json_remove(record, '$.spec.entrypoint', '$.spec.cmd')");
    await service.house.open();
    const old = await service.engine.get(vm.id);
    await old.start({ cmd: ['sleep', '200'] });
    assert.deepEqual((await old.refresh()).command, ['sleep', '200']);
  });
});
