import type { AutoStandbyPolicy, StandbyStatus, WakePolicy } from '@vivarium/model';
import { VivError } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { parseChoice, parseDuration } from '../flags/values.ts';

interface StandbyFlags {
  idle?: string;
  off?: boolean;
  wake?: string;
  hold?: boolean;
  json?: boolean;
}

export const command = defineCommand<StandbyFlags>({
  arguments: '<name>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('--idle <duration>', 'suspend it once nobody has used it for so long')
      .option('--off', 'do not suspend it for being idle')
      .option('--wake <standby|always|never>', 'what use wakes: one suspended for being idle, any, none')
      .option('--hold', 'keep it awake for a whole idle timeout from now')
      .option('--json', 'print JSON');
  },
  notes: [
    'A VM is in use while a command runs in it, somebody is attached, a tunnel, a console, a copy or a connection to a published port is ' +
      'open. One that sleeps is woken by an exec, a copy, a tunnel or a connection to a published port, which waits until it is up.',
  ],
  examples: [
    ['viv standby web --idle 10m', 'suspend it after ten minutes without use'],
    ['viv standby web', 'why it is awake, and for how long'],
    ['viv standby web --wake always', 'use wakes it also where you have suspended it yourself'],
  ],
  async run(context, [name = ''], flags) {
    if (flags.off && flags.idle !== undefined)
      throw new VivError('invalid_request', '--off and --idle exclude each other.');
    const vm = await (await context.vivarium()).get(name);
    const policy = policyOf(flags, vm.info.autoStandby);
    const wake: WakePolicy | undefined =
      flags.wake === undefined
        ? undefined
        : parseChoice(flags.wake, '--wake', ['standby', 'always', 'never'] as const);
    let status: StandbyStatus | undefined;
    if (policy !== undefined || wake !== undefined) status = await vm.standby.set({ policy, wake });
    if (flags.hold) status = await vm.standby.hold();
    status ??= await vm.standby.status();
    await (flags.json ? context.printJson(status) : context.print(`${describeStandby(status)}\n`));
    return 0;
  },
});

function policyOf(
  { idle, off }: StandbyFlags,
  before: AutoStandbyPolicy | undefined,
): AutoStandbyPolicy | undefined {
  if (off) return { ...before, enabled: false };
  if (idle === undefined) return undefined;
  return { ...before, enabled: true, idleTimeoutMs: parseDuration(idle, '--idle') };
}

const seconds = (at: string, now: number): number => Math.max(0, Math.round((Date.parse(at) - now) / 1000));

/** One line for people. */
export function describeStandby(status: StandbyStatus, now = Date.now()): string {
  const { nextStandbyAt, idleSince, uses, holdUntil } = status;
  if (!status.configured) return 'no policy: it is not suspended for being idle';
  if (!status.enabled) return 'off: it is not suspended for being idle';
  if (status.status === 'error') return `error: ${status.error ?? 'it could not be looked at'}`;
  if (uses.length > 0)
    return `in use: ${uses.map(({ kind, count }) => (count > 1 ? `${kind} (${count})` : kind)).join(', ')}`;
  if (nextStandbyAt !== undefined && idleSince !== undefined) {
    const held = holdUntil === undefined ? '' : ', held';
    return `idle for ${-Math.round((Date.parse(idleSince) - now) / 1000)} s, suspended in ${seconds(nextStandbyAt, now)} s${held}`;
  }
  return status.status === 'ineligible' ? 'not running' : status.status.replaceAll('_', ' ');
}
