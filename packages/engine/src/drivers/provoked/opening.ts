import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withCode } from '../conformance/bench.ts';
import type { Channel, Machine } from '../driver.ts';
import { sockets } from '../qemu/command-line.ts';
import type { EffectAt } from '../simulated/faults.ts';
import { crowd } from './hardships.ts';
import { crashes } from './ordering.ts';
import type { Provocation, Provocations } from './provocation.ts';
import { closed, type Stage } from './stage.ts';

const openAndClose = async (machine: Machine, channel: Channel) => closed(await machine.open(channel));

/** The process that listens for a channel's readers: QEMU, for the console the shim. */
const listener = (machine: Machine, channel: Channel) =>
  channel === 'console' ? machine.record.shim : machine.record.vmm;

const socketOf = (machine: Machine, channel: Channel) =>
  path.join(machine.record.dir, channel === 'console' ? 'console.sock' : sockets[channel]);

/** Its socket is not there. */
async function isRefused(stage: Stage, channel: Channel): Promise<void> {
  const machine = await stage.launch();
  const file = socketOf(machine, channel);
  await rename(file, `${file}.away`);
  await assert.rejects(machine.open(channel), withCode('not_supported'));
  assert.equal(await machine.status(), 'running');
  await rename(`${file}.away`, file);
  await openAndClose(machine, channel);
}

/** Who hangs accepts nobody; the kernel does in its place, until its queue is full. */
async function hangs(stage: Stage, channel: Channel): Promise<void> {
  const machine = await stage.launch();
  stage.freeze(listener(machine, channel));
  await crowd(stage, socketOf(machine, channel));
  await assert.rejects(machine.open(channel), withCode('vmm_failed'));
  stage.thaw(listener(machine, channel));
  assert.equal(await machine.status(), 'running');
}

async function isLate(stage: Stage, channel: Channel): Promise<void> {
  const machine = await stage.launch();
  stage.freeze(listener(machine, channel));
  const opened = machine.open(channel);
  await sleep(100);
  stage.thaw(listener(machine, channel));
  await closed(await opened);
  assert.equal(await machine.status(), 'running');
}

function open(channel: Channel): Record<EffectAt<'open.control'>, Provocation> {
  return {
    error: (stage) => isRefused(stage, channel),
    hang: (stage) => hangs(stage, channel),
    crash: (stage) => crashes(stage, { call: (machine) => openAndClose(machine, channel) }),
    delay: (stage) => isLate(stage, channel),
  };
}

export const opening: Provocations<'open.control' | 'open.bulk' | 'open.console'> = {
  'open.control': open('control'),
  'open.bulk': open('bulk'),
  'open.console': open('console'),
};
