import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { EngineVm } from '../vm.ts';
import { House } from './fixtures/house.ts';

const guest = (house: House, { id }: { id: string }) => house.host.guest(house.dir(id)).system;
const told = (house: House, vm: { id: string }) => guest(house, vm).identities.at(-1)?.clockSource;

async function warnings(house: House, vm: EngineVm): Promise<string[]> {
  const last = house.engine.lastEvent;
  const said: string[] = [];
  for await (const { seq, type, data } of house.engine.events({ since: 0, instance: vm.id })) {
    if (type === 'warning') said.push(String(data.message));
    if (seq >= last) break;
  }
  return said;
}

async function changeManifest(
  house: House,
  vm: EngineVm,
  change: (manifest: object) => object,
): Promise<void> {
  const file = path.join(house.dir(vm.id), 'saved', 'manifest.json');
  await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')))));
}

/** Suspended, and about to be resumed where the time stamp counter is half as fast again. */
async function moved(house: House): Promise<EngineVm> {
  const vm = await house.engine.run('busybox');
  await vm.suspend();
  house.host.tscKhz *= 1.5;
  return vm;
}

describe('the clock of a guest', () => {
  it('is left alone where the host counts as it did', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox');
    await vm.suspend();
    house.host.tscKhz += 100;
    await vm.start();
    const [copy] = await vm.fork();
    assert.ok(copy);
    for (const one of [vm, copy]) {
      assert.equal(told(house, one), undefined);
      assert.equal(guest(house, one).clockSources[0], 'tsc');
    }
  });

  it('goes by another device from its identity on where the host counts at another rate', async () => {
    await using house = await House.open();
    const vm = await moved(house);
    await vm.start();
    assert.equal(told(house, vm), 'acpi_pm');
    assert.equal(guest(house, vm).clockSources[0], 'acpi_pm');
    assert.deepEqual(await warnings(house, vm), []);
  });

  it('is judged by the host on which the guest was booted, however often it has been saved since', async () => {
    await using house = await House.open();
    const vm = await moved(house);
    await vm.start();
    const [copy] = await vm.fork();
    assert.ok(copy);
    assert.equal(told(house, copy), 'acpi_pm', 'it was saved here, and booted elsewhere');
    await vm.suspend();
    house.host.tscKhz /= 1.5;
    await vm.start();
    assert.equal(told(house, vm), undefined, 'it was booted here');
  });

  it('goes by another device where nobody knows at which rate it was booted', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox');
    await vm.suspend();
    await changeManifest(house, vm, (manifest) => ({ ...manifest, tscKhz: undefined }));
    await vm.start();
    assert.equal(told(house, vm), 'acpi_pm');
  });

  it('may be wrong where there is no other device, and then a warning says so', async () => {
    await using house = await House.open();
    house.host.onGuest = ({ system }) => {
      system.clockSources = ['tsc'];
    };
    const vm = await moved(house);
    await vm.start();
    assert.match((await warnings(house, vm)).join('\n'), /clock may run fast or slow.*acpi_pm.*it has tsc/);
  });
});
