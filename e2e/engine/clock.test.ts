import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { RealEngine, until } from './real-engine.ts';

const current = '/sys/devices/system/clocksource/clocksource0/current_clocksource';

const source = async (vm: Vm): Promise<string> => (await vm.exec(['cat', current])).stdout.trim();

/** Milliseconds of the guest's own time, and of this host's between which it was read. */
async function moment(vm: Vm): Promise<{ guest: number; from: number; to: number }> {
  const from = performance.now();
  const { stdout } = await vm.exec(['cut', '-d ', '-f1', '/proc/uptime']);
  return { guest: 1000 * Number(stdout), from, to: performance.now() };
}

/** The kernel gives hundredths of a second. */
const roundingMs = 10;

async function runsRight(vm: Vm): Promise<void> {
  const first = await moment(vm);
  let last = first;
  await until('a second has passed in the guest', async () => {
    last = await moment(vm);
    return last.guest - first.guest >= 1000;
  });
  const passed = last.guest - first.guest;
  assert.ok(
    passed >= last.from - first.to - roundingMs,
    `${passed} ms in it, at least ${last.from - first.to} here`,
  );
  assert.ok(
    passed <= last.to - first.from + roundingMs,
    `${passed} ms in it, at most ${last.to - first.from} here`,
  );
  const asked = Date.now();
  const told = 1000 * Number((await vm.exec(['date', '+%s'])).stdout);
  assert.ok(told > asked - 1500 && told < Date.now() + 500, `it is ${told} there, and ${asked} here`);
}

describe('the clock of a real guest', () => {
  let real: RealEngine;
  let vm: Vm;
  before(async () => {
    real = await RealEngine.open({ templates: { backgroundDelayMs: 3_600_000 } });
    await real.engine.templates.warm({ image: 'busybox' });
    vm = await real.engine.run('busybox', { cmd: ['sleep', '100000'], network: 'none' });
  });
  after(() => real?.[Symbol.asyncDispose]());

  const manifest = () => path.join(real.home, 'instances', vm.id, 'saved', 'manifest.json');
  const rate = async () => (JSON.parse(await readFile(manifest(), 'utf8')) as { tscKhz?: number }).tscKhz;
  /** Suspended, and resumed as where the time stamp counter is another. */
  const resumeWith = async (change: (khz: number) => number | undefined) => {
    await vm.suspend();
    const state = JSON.parse(await readFile(manifest(), 'utf8')) as { tscKhz: number };
    await writeFile(manifest(), JSON.stringify({ ...state, tscKhz: change(state.tscKhz) }));
    await vm.start();
  };
  const warnings = async () => {
    const last = real.engine.lastEvent;
    const said: unknown[] = [];
    for await (const { seq, type, data } of real.engine.events({ since: 0 })) {
      if (type === 'warning') said.push(data.message);
      if (seq >= last) break;
    }
    return said;
  };

  test('goes by the time stamp counter when it is started, booted, and resumed where it was', async () => {
    assert.equal(await source(vm), 'tsc');
    await vm.suspend();
    const khz = await rate();
    assert.ok(khz !== undefined && khz > 100_000 && khz < 20_000_000, String(khz));
    await vm.start();
    assert.equal(await source(vm), 'tsc');
    await runsRight(vm);
    const booted = await real.engine.create({ image: 'busybox', cmd: ['sleep', '100000'], network: 'none' });
    await booted.start({ cold: true });
    assert.match(await source(booted), /^tsc/);
    await runsRight(booted);
    await booted.delete({ force: true });
  });

  test('goes by the ACPI timer from a resume on where the counter has another rate, and is right', async () => {
    await resumeWith((khz) => Math.round(1.25 * khz));
    assert.equal(await source(vm), 'acpi_pm');
    await runsRight(vm);
    const [copy] = await vm.fork();
    assert.ok(copy);
    assert.equal(await source(copy), 'acpi_pm');
    await runsRight(copy);
    await copy.delete({ force: true });
    assert.deepEqual(await warnings(), []);
  });

  test('goes by the ACPI timer where nobody knows the rate', async () => {
    const other = await real.engine.run('busybox', { cmd: ['sleep', '100000'], network: 'none' });
    await vm.delete({ force: true });
    vm = other;
    assert.equal(await source(vm), 'tsc');
    await resumeWith(() => undefined);
    assert.equal(await source(vm), 'acpi_pm');
    await runsRight(vm);
  });

  test("of a template that was made elsewhere is nobody's: another one is made", async () => {
    const [template] = (await real.engine.templates.list()).filter(({ level }) => level === 'image');
    assert.ok(template);
    const file = path.join(real.home, 'templates', template.id, 'manifest.json');
    const state = JSON.parse(await readFile(file, 'utf8')) as { tscKhz: number };
    await real.engine.close();
    await writeFile(file, JSON.stringify({ ...state, tscKhz: 2 * state.tscKhz }));
    await real.reopen({ templates: { backgroundDelayMs: 3_600_000 } });
    await real.engine.templates.warm({ image: 'busybox' });
    assert.equal(JSON.parse(await readFile(file, 'utf8')).tscKhz, state.tscKhz);
  });
});
