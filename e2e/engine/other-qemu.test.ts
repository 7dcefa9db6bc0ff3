import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { VivError } from '@vivarium/model';
import { processesBelow, RealEngine } from './real-engine.ts';

/** QEMU as it is, behind a script that is found before it. `version`: what it says of itself; `before`: run on its way to a VM. */
async function withQemu<T>(
  home: string,
  { version, before = '' }: { version?: string; before?: string },
  work: () => Promise<T>,
): Promise<T> {
  const { PATH = '' } = process.env;
  const bin = path.join(home, `bin-${version ?? 'same'}`);
  await mkdir(bin, { recursive: true });
  const file = path.join(bin, 'qemu-system-x86_64');
  const said = version === undefined ? '' : `--version) echo 'QEMU emulator version ${version}'; exit;;`;
  await writeFile(
    file,
    `#!/bin/sh\nPATH='${PATH}'\ncase "$1" in\n${said}\n-machine) [ "$2" = help ] || { ${before || ':'}; };;\n*) ${before || ':'};;\nesac\nexec qemu-system-x86_64 "$@"\n`,
  );
  await chmod(file, 0o755);
  process.env.PATH = `${bin}:${PATH}`;
  try {
    return await work();
  } finally {
    process.env.PATH = PATH;
  }
}

async function refusal(work: () => PromiseLike<unknown>): Promise<VivError> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof VivError, String(error));
    return error;
  }
  return assert.fail('it succeeded');
}

describe('after QEMU was replaced', () => {
  test('what a newer one has saved is refused with a word of --cold, kept, and started cold', async () => {
    await using real = await RealEngine.open();
    const vm = await withQemu(real.home, { version: '99.1.0' }, async () => {
      const made = await real.engine.run('busybox', { network: 'none' });
      await made.exec(['sh', '-c', 'echo kept >/kept; sync']).orThrow();
      await made.suspend();
      return made;
    });
    const saved = path.join(real.home, 'instances', vm.id, 'saved');
    const files = await readdir(saved);
    const error = await refusal(() => vm.start());
    assert.equal(error.code, 'saved_state_mismatch');
    assert.match(error.message, /99\.1\.0/);
    assert.match(error.hint ?? '', /--cold/);
    assert.deepEqual(await readdir(saved), files);
    assert.equal((await vm.refresh()).state, 'Suspended');
    assert.deepEqual(await processesBelow(path.join(real.home, 'instances')), []);
    assert.deepEqual(await vm.start({ cold: true }), { changed: true, state: 'Running' });
    assert.equal((await vm.exec(['cat', '/kept'])).stdout, 'kept\n');
  });

  test('a template of another build is not used, and another one is made', async () => {
    await using real = await RealEngine.open();
    await real.engine.templates.warm({ image: 'busybox' });
    const before = await real.engine.templates.list();
    const vm = await real.engine.create({ image: 'busybox' });
    await withQemu(real.home, { version: '7.2.99' }, () => Promise.resolve(vm.start()));
    const after = await real.engine.templates.list();
    const old = new Map(before.map(({ id, usedAt }) => [id, usedAt]));
    assert.ok(
      after.some(({ id }) => !old.has(id)),
      'another one was made',
    );
    for (const { id, usedAt } of after) if (old.has(id)) assert.equal(usedAt, old.get(id), 'it was not used');
  });
});

describe('a host without memory for a VM', () => {
  test('says what QEMU said, leaves nothing, and starts it once there is some', async () => {
    await using real = await RealEngine.open({ templates: false });
    const vm = await real.engine.create({ image: 'busybox', memory: '512MB', network: 'none' });
    const error = await withQemu(real.home, { before: 'ulimit -v 400000' }, () => refusal(() => vm.start()));
    assert.ok(['vmm_failed', 'insufficient_resources'].includes(error.code), error.code);
    assert.match(error.message, /memory/i);
    assert.equal((await vm.refresh()).state, 'Stopped');
    assert.deepEqual(await processesBelow(path.join(real.home, 'instances')), []);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
  });

  test('that takes a VM’s memory away ends it, and says by what', async () => {
    await using real = await RealEngine.open({ templates: false });
    const vm = await real.engine.run('busybox', { network: 'none' });
    const { vmm } = await vm.refresh();
    assert.ok(vmm);
    // As the kernel's OOM killer does.
    process.kill(vmm.pid, 'SIGKILL');
    await vm.waitFor('Stopped');
    const { exit } = await vm.refresh();
    assert.equal(exit?.reason, 'vmm_exited');
    assert.match(exit?.message ?? '', /SIGKILL/);
    assert.deepEqual(await processesBelow(path.join(real.home, 'instances')), []);
  });
});
