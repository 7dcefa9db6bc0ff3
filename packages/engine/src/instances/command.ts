import { type ImageConfig, VivError } from '@vivarium/model';
import type { Operation } from '../operations/operation.ts';
import { invalidState } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';

/** The two halves of the workload's command, where they are not the image's. */
export interface CommandOverride {
  cmd?: string[];
  entrypoint?: string[];
}

type ImageCommand = Pick<ImageConfig, 'entrypoint' | 'cmd'>;

/** An entrypoint of one's own drops the image's Cmd, which was written for another program. */
export function commandParts(asked: CommandOverride, image: ImageCommand): Required<CommandOverride> {
  return {
    entrypoint: asked.entrypoint ?? image.entrypoint,
    cmd: asked.cmd ?? (asked.entrypoint === undefined ? image.cmd : []),
  };
}

export function commandLine({ entrypoint, cmd }: Required<CommandOverride>): string[] {
  return [...entrypoint, ...cmd];
}

/** Undefined where nothing is asked for. @throws VivError `invalid_request`. */
export function checkCommand({ cmd, entrypoint }: CommandOverride): CommandOverride | undefined {
  for (const [field, words] of Object.entries({ cmd, entrypoint })) {
    if (words?.some((word) => word.includes('\0')))
      throw new VivError('invalid_request', `${field} has a NUL byte`);
  }
  if (cmd === undefined && entrypoint === undefined) return undefined;
  return { ...(cmd === undefined ? {} : { cmd }), ...(entrypoint === undefined ? {} : { entrypoint }) };
}

/** Whether a start would start the workload: one that goes on from memory has it already. */
export function boots(instance: Instance, cold: boolean): boolean {
  const { state } = instance;
  return ['Stopped', 'Created', 'Shutdown'].includes(state) || (state === 'Suspended' && cold);
}

export function notAtBoot(instance: Instance): VivError {
  return invalidState(
    instance,
    'change the command of',
    'A command is chosen when the guest boots: stop the VM first, or start a suspended one cold.',
  );
}

/** For this start and those that follow; a start that fails leaves the old one. */
export function overrideCommand(
  context: Context,
  instance: Instance,
  operation: Operation,
  override: CommandOverride,
): void {
  const { spec } = instance.record;
  const parts = commandParts(override, {
    entrypoint: spec.entrypoint ?? imageEntrypoint(context, instance),
    cmd: spec.cmd ?? [],
  });
  operation.undo('take the old command again', () => {
    const { command, entrypoint, cmd } = spec;
    instance.change({ spec: { ...instance.record.spec, command, entrypoint, cmd } });
  });
  instance.change({ spec: { ...spec, ...parts, command: commandLine(parts) } });
}

/** Of a record from before the halves were kept: its command begins with it, or it was replaced. */
function imageEntrypoint(context: Context, { record }: Instance): string[] {
  const { digest } = record.spec.image;
  const entrypoint = context.images.find(digest)?.config.entrypoint ?? [];
  const { command } = record.spec;
  return entrypoint.every((word, index) => command[index] === word) ? entrypoint : [];
}
