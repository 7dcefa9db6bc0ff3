import { randomBytes } from 'node:crypto';
import { VivError } from '@vivarium/model';
import type { Channel, ExpectedState, Machine, MachineStatus, SavedState } from '../drivers/driver.ts';
import { abortable } from '../guest/abort.ts';
import type { Guest, IdentityTold } from '../guest/guest.ts';
import { applyLimits } from '../limits/apply.ts';
import type { Operation } from '../operations/operation.ts';
import { writeRecord } from '../store/record.ts';
import type { Template } from '../templates/template.ts';
import { readyVolumes } from '../volumes/in-use.ts';
import type { Context } from './context.ts';
import { consoleLines, markConsole, panicIn } from './evidence.ts';
import type { Instance } from './instance.ts';
import { guestConfig, guestIdentity, machineSpec } from './machine-spec.ts';
import { mountIn } from './volumes.ts';
import { watchMachine } from './watch.ts';

/** Starts the VMM of a stopped instance, and has it watched. Undone by ending it. `fromMemory`: `from` is an instance's, no template. */
export async function launch(
  context: Context,
  instance: Instance,
  operation: Operation,
  {
    run,
    from,
    fromMemory = false,
    holdPorts,
  }: { run: boolean; from?: SavedState | ExpectedState; fromMemory?: boolean; holdPorts?: boolean },
): Promise<Machine> {
  await readyVolumes(context, instance, operation, { fromMemory });
  const { record } = instance;
  operation.step('launch the VMM');
  operation.progress({ stage: 'launching' });
  const inUse = [...context.instances.all()].flatMap(({ record: { nic }, id }) =>
    nic && id !== record.id ? [nic] : [],
  );
  instance.workloadExit = undefined;
  instance.ending = undefined;
  instance.change({
    phase: 'live',
    generation: record.generation + 1,
    startedAt: new Date().toISOString(),
    exit: undefined,
    stoppedAt: undefined,
    nic:
      record.spec.network === 'none' ? undefined : (record.nic ?? context.network.allocate(record.id, inUse)),
  });
  // Before the VMM is there: should this process die in between, the next one knows where to look for it. No VMM outlives the host's power.
  context.journal.note(instance.record);
  let watched = false;
  operation.undo('go back to a stopped record', () => {
    // Where there was no VMM to end, nothing has happened since the last one did.
    const { startedAt, stoppedAt, exit } = record;
    instance.change({ phase: 'made', ...(watched ? {} : { startedAt, stoppedAt, exit }) });
  });
  await markConsole(instance.dir);
  const spec = await machineSpec(context, instance, { run, holdPorts });
  const greeting = run ? new Greeting(context, operation.signal) : undefined;
  const machine = await context.driver.launch(
    spec,
    operation.signal,
    from,
    greeting && ((reachable) => void greeting.begin(reachable)),
  );
  operation.undo('end the VMM', async () => {
    await machine.kill();
    await instance.machineGone(machine);
  });
  greeting?.goOn(machine);
  instance.change({ ports: machine.record.ports });
  instance.observeMachine(machine, await machine.status());
  watchMachine(context, instance, machine);
  await applyLimits(context, instance, machine);
  watched = true;
  operation.meanwhile(writeRecord(instance.dir, instance.record));
  return machine;
}

const greetings = new WeakMap<Machine, Promise<Guest>>();

/** What runs, or is about to, is greeted at once: its agent wakes up while this process has other things to do. */
class Greeting {
  readonly #context: Context;
  readonly #signal: AbortSignal;
  #guest: Promise<Guest> | undefined;
  #machine: Machine | undefined;

  constructor(context: Context, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  begin(reachable: Pick<Machine, 'open'>): Promise<Guest> {
    const signal = this.#signal;
    const open = (channel: Channel) => (this.#machine ?? reachable).open(channel, signal);
    const guest = this.#context.connectGuest(open, signal);
    // Whoever connects hears of it.
    guest.catch(() => undefined);
    this.#guest = guest;
    return guest;
  }

  goOn(machine: Machine): void {
    this.#machine = machine;
    greetings.set(machine, this.#guest ?? this.begin(machine));
  }
}

export function connect(context: Context, machine: Machine, signal: AbortSignal): Promise<Guest> {
  const greeting = greetings.get(machine);
  greetings.delete(machine);
  if (greeting !== undefined) return abortable(greeting, signal);
  return context.connectGuest((channel) => machine.open(channel, signal), signal);
}

/** Boots a running machine up to its workload. Every failure names its stage and shows the console. */
export async function bringUp(
  context: Context,
  instance: Instance,
  machine: Machine,
  operation: Operation,
  template?: Template,
): Promise<Guest> {
  const { record } = instance;
  using watch = watchBoot(machine);
  const { died } = watch;
  let stage = 'kernel';
  let guest: Guest | undefined;
  try {
    operation.step('boot the guest');
    operation.progress({ stage: 'booting' });
    const { signal } = operation;
    guest = await Promise.race([connect(context, machine, signal), died]);
    operation.step('configure the guest');
    operation.progress({ stage: 'configuring' });
    stage = 'configuration';
    const told = introduce(context, instance, machine, guest, template, signal);
    const volumes = record.volumes ?? [];
    // Asked for at once where it is only told who it is. The agent sees to the order: nothing of the user's runs before.
    const atOnce = template?.info.level === 'image' && volumes.length === 0;
    const started = atOnce ? begin(guest, record, signal) : undefined;
    await Promise.race([told, died]);
    operation.step('mount the volumes');
    stage = 'volumes';
    for (const attachment of volumes) await Promise.race([mountIn(guest, attachment, signal), died]);
    operation.step('start the workload');
    stage = 'entrypoint';
    await Promise.race([started ?? begin(guest, record, signal), died]);
    return guest;
  } catch (error) {
    await guest?.[Symbol.asyncDispose]();
    if (operation.signal.aborted && (operation.signal.reason as VivError).code === 'cancelled') throw error;
    // A VMM that is going down is about to flush its console; its last words are the evidence.
    if (watch.over) await Promise.race([machine.exited, machine.kill()]);
    throw await bootFailure(instance, stage, error);
  }
}

function begin(guest: Guest, record: Instance['record'], signal: AbortSignal): Promise<unknown> {
  const started = guest.startWorkload({ ...workload(record), generation: record.generation }, signal);
  // A guest that could not be told who it is starts nothing, and the first of the two says why.
  started.catch(() => undefined);
  return started;
}

/** From a bare kernel to a root; where the template has one already (of the very size), only who it is. */
async function introduce(
  context: Context,
  instance: Instance,
  machine: Machine,
  guest: Guest,
  template: Template | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { record } = instance;
  const told =
    template?.info.level === 'image'
      ? await guest.identity(
          { ...guestIdentity(record, machine.record), copy: false, resetConnections: false },
          signal,
        )
      : await guest.configure(await guestConfig(context, record, machine.record), signal);
  warnOfTime(instance, machine, told);
}

/** A guest that could not do as it was told about its clock lives on with one that is wrong. */
export function warnOfTime(
  instance: Instance,
  { record: { clockSource } }: Machine,
  { clockSource: chosen }: IdentityTold,
): void {
  if (clockSource === undefined || clockSource === chosen) return;
  instance.emit('warning', {
    message: `Its clock may run fast or slow: this host's time stamp counter is not what its guest takes it for, and the guest did not change to the clock source ${clockSource} (it has ${chosen || 'not said which'})`,
  });
}

/** `died` rejects when the guest or its VMM ends before the guest is up. */
function watchBoot(machine: Machine): Disposable & { died: Promise<never>; over: boolean } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined);
  const watch = { died: promise, over: false, [Symbol.dispose]: () => off() };
  const end = (what: string) => {
    watch.over = true;
    reject(new VivError('vmm_failed', what));
  };
  const look = (status: MachineStatus) => {
    if (status === 'panicked' || status === 'shutdown') end('The guest went off while it was booting');
    if (status === 'exited') end('The VMM exited while the guest was booting');
  };
  const off = machine.onStatus(look);
  // What happened before anyone subscribed. A VMM that can't say is judged by its exit and by the agent's silence.
  machine.status().then(look, () => undefined);
  machine.exited.then(
    () => end('The VMM exited while the guest was booting'),
    () => end('The VMM was lost while the guest was booting'),
  );
  return watch;
}

function workload({ spec }: Instance['record']) {
  return {
    id: 'root',
    argv: spec.command,
    env: spec.env,
    cwd: spec.cwd,
    user: spec.user,
    ...(spec.tty === undefined ? {} : { tty: spec.tty }),
    stdin: spec.stdin,
    output: spec.attach ? ('retain' as const) : ('ring' as const),
    ...(spec.stopSignal === undefined ? {} : { stopSignal: spec.stopSignal }),
  };
}

const ofTheCaller: readonly string[] = [
  'command_not_found',
  'command_not_executable',
  'user_not_found',
  'path_not_found',
];

async function bootFailure(instance: Instance, at: string, thrown: unknown): Promise<VivError> {
  const error = VivError.from(thrown);
  // What the caller asked for is not there: that is no failure of the boot.
  if (at === 'entrypoint' && ofTheCaller.includes(error.code)) return error;
  const console = await consoleLines(instance.dir);
  const panic = panicIn(console);
  const stage = typeof error.details?.stage === 'string' ? error.details.stage : at;
  const shown = console.length === 0 ? '' : `\n${console.slice(-5).join('\n')}`;
  return new VivError(
    panic === undefined ? 'boot_failed' : 'guest_panicked',
    panic === undefined
      ? `The guest did not come up (${stage}): ${error.message}${shown}`
      : `The kernel panicked: ${panic}${shown}`,
    {
      hint: `\`viv logs --source console ${instance.record.name}\` shows the whole console.`,
      details: { stage, console, reason: error.toJSON() },
      cause: error,
    },
  );
}

/** 32 hex digits for /etc/machine-id. */
export function newMachineId(): string {
  return randomBytes(16).toString('hex');
}
