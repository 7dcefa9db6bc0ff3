import { type ActionResult, type CallOptions, isVivError, VivError } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { afterStart, attemptBegun } from '../service/restart-rule.ts';
import type { Template } from '../templates/template.ts';
import { changed, request } from './actions.ts';
import { boots, type CommandOverride, checkCommand, notAtBoot, overrideCommand } from './command.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { bringUp, launch } from './launch.ts';
import { restoreSuspended } from './restore.ts';
import { dropTops, removeSaved, settleSuspended } from './suspend.ts';
import { watchGuest } from './watch.ts';

function beginAttempt({ clock }: Context, instance: Instance): void {
  const restart = attemptBegun(instance.record.restart, clock.now());
  instance.change({ restart });
  instance.emit('restart', { attempt: restart.attempts, reason: restart.lastReason });
}

export interface StartOptions extends CallOptions, CommandOverride {
  /** From no saved or booted memory. Default false. */
  cold?: boolean;
  /** By its restart policy, and only where that still wants it. Default false: by somebody. */
  byPolicy?: boolean;
}

/**
 * Stopped, Created or Shutdown -> Starting -> Initializing -> Running, and Suspended -> Restoring -> Running or Paused. Changes
 * nothing when it is Running already.
 */
export async function startInstance(
  context: Context,
  instance: Instance,
  { cold = false, byPolicy = false, cmd, entrypoint, ...call }: StartOptions = {},
): Promise<ActionResult> {
  const began = performance.now();
  const override = checkCommand({ cmd, entrypoint });
  const { check, ...rest } = request(instance, 'start', call, {
    parameters: { cold, ...override },
    hint: instance.state === 'Paused' ? 'Resume it.' : undefined,
  });
  const result = await context.door.run<ActionResult>(
    instance,
    {
      ...rest,
      check: () => {
        if (byPolicy && instance.record.restart?.nextAttemptAt === undefined)
          return { answer: { changed: false, state: instance.state } };
        if (override !== undefined && !boots(instance, cold)) throw notAtBoot(instance);
        return check?.();
      },
    },
    async (operation) => {
      const suspended = instance.state === 'Suspended';
      if (override !== undefined) overrideCommand(context, instance, operation, override);
      using _room = await context.admission.reserve(instance);
      if (byPolicy) beginAttempt(context, instance);
      if (!suspended) await removeSaved(instance);
      if (suspended && !cold) await restoreSuspended(context, instance, operation);
      else await boot(context, instance, operation, cold);
      instance.change({
        restart: afterStart(instance.record.restart, byPolicy),
        upAt: new Date(context.clock.now()).toISOString(),
      });
      instance.leave();
      operation.progress({ stage: 'running', milliseconds: Math.round(performance.now() - began) });
      return changed(instance);
    },
  );
  // Not before the record says that it is not needed any more.
  if (result.changed) await removeSaved(instance);
  if (result.changed && !cold) context.templates.started(instance);
  return result;
}

async function boot(
  context: Context,
  instance: Instance,
  operation: Operation,
  cold: boolean,
): Promise<void> {
  const { suspended } = instance.record;
  if (suspended !== undefined) {
    // Its memory is given up only once the guest is up; until then the disk can be what it was.
    await settleSuspended(context, instance);
    operation.undo('take back what was written to the disk', () => dropTops(context, instance));
  }
  const prepared = instance.state === 'Created' ? instance.machine : undefined;
  const left = instance.state === 'Shutdown' ? instance.machine : undefined;
  // Also cold it goes back to Suspended, as nothing but a restore does.
  instance.enter(suspended === undefined ? 'Starting' : 'Restoring');
  const template =
    cold || prepared !== undefined ? undefined : await context.templates.forStart(instance, operation);
  const machine = await machineToBoot(context, instance, operation, { prepared, left, template });
  if (suspended === undefined) instance.enter('Initializing');
  const guest = await bringUp(context, instance, machine.machine, operation, machine.template);
  if (suspended !== undefined) {
    operation.undo('keep the saved memory', () => instance.change({ suspended }));
    instance.change({ suspended: undefined });
  }
  instance.change({ pendingChanges: undefined });
  watchGuest(context, instance, machine.machine, guest);
}

async function machineToBoot(
  context: Context,
  instance: Instance,
  operation: Operation,
  { prepared, left, template }: { prepared?: Machine; left?: Machine; template?: Template },
): Promise<{ machine: Machine; template?: Template }> {
  if (prepared !== undefined) {
    operation.undo('end the VMM', async () => {
      await prepared.kill();
      await instance.machineGone(prepared);
    });
    await prepared.resume();
    return { machine: prepared };
  }
  if (left !== undefined) {
    // The guest is off and its memory means nothing any more: a fresh VMM is as good, and known to be clean.
    operation.step('end the old VMM');
    await left.kill();
    await instance.machineGone(left);
  }
  if (template !== undefined) {
    operation.progress({
      stage: 'restoring',
      from: template.info.level === 'image' ? 'image-template' : 'template',
    });
    try {
      await context.templates.prepareDisk(template, instance.dir);
      return {
        machine: await launch(context, instance, operation, { run: true, from: template.state }),
        template,
      };
    } catch (error) {
      if (!isVivError(error, 'saved_state_mismatch', 'saved_state_damaged')) throw error;
      // What can't be loaded is of no use to anybody; a boot always is.
      instance.emit('warning', { message: `Booted without its template: ${VivError.from(error).message}` });
      await context.templates.discard(template);
    }
  }
  return { machine: await launch(context, instance, operation, { run: true }) };
}

/** Stopped -> Created: the VMM is alive and the guest has not begun to boot. */
export function prepareInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  return context.door.run(instance, request(instance, 'prepare', call), async (operation) => {
    using _room = await context.admission.reserve(instance);
    instance.enter('Starting');
    await launch(context, instance, operation, { run: false });
    instance.leave();
    return changed(instance);
  });
}
