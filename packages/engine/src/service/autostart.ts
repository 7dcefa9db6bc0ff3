import path from 'node:path';
import { readIfThere, replaceFile } from '../images/durable.ts';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { positionOf } from '../instances/registry.ts';
import type { InstanceRecord } from '../store/record.ts';
import { persist } from './apply.ts';
import { rankOf } from './restarts.ts';

const fileName = 'boot-id';

/** Whether the host has booted since this data directory was in use last. False for one that never was. */
export async function hostRebooted(home: string, now: string): Promise<boolean> {
  const before = (await readIfThere(path.join(home, fileName)))?.toString().trim() ?? '';
  return before !== '' && before !== now;
}

/** Once everything that has to be started is marked: a process that dies before finds the reboot again. */
export async function rememberBoot(home: string, now: string): Promise<void> {
  await replaceFile(path.join(home, fileName), `${now}\n`);
}

/**
 * Marks what ran when the host went down, and is to run again. The first is to be started first: by priority, then in the order of
 * creation. Of a VM with neither policy nor autostart nothing is known but that it ran.
 */
export function markAfterReboot(context: Context): Instance[] {
  const due = [...context.instances.all()].filter(
    ({ record, state }) => state === 'Stopped' && wentDownWithHost(record),
  );
  const now = new Date(context.clock.now()).toISOString();
  for (const instance of due) {
    // The host was the cause: no attempt is counted, and nothing has to be waited for.
    instance.change({ restart: { attempts: 0, nextAttemptAt: now } });
    persist(context, instance);
  }
  return due.sort((a, b) => rankOf(b) - rankOf(a) || (positionOf(a) < positionOf(b) ? -1 : 1));
}

/** How its VMM ended under a host that goes down: unseen, killed, or as if the guest had powered itself off. */
function wentDownWithHost({ exit, restart, spec }: InstanceRecord): boolean {
  if (spec.restartPolicy === undefined && spec.autostart === undefined) return false;
  if (restart?.blockedReason !== undefined) return false;
  if (restart?.nextAttemptAt !== undefined) return true;
  if (exit === undefined) return false;
  return exit.reason === 'vmm_exited' || (exit.reason === 'guest_off' && exit.code === undefined);
}
