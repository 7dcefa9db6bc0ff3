import type { Fields } from '@vivarium/protocol';
import { fileMethods, readOutput } from './file-methods.ts';
import { Refusal } from './file-tree.ts';
import type { GuestSystem } from './guest-system.ts';
import type { StartSpec } from './session.ts';
import type { Method, MethodCall } from './simulated-guest.ts';

const none = {};
/** Sessions in one answer. */
const mostListed = 10;
/** Characters of a command line that a list shows. */
const shownCharacters = 4096;

/** The methods of the control port, by the names of docs/protocol.md. */
export const controlMethods: Readonly<Record<string, Method | undefined>> = Object.assign(
  Object.create(null),
  {
    ...fileMethods,
    ping: () => none,
    configure: ({ system, params }) => {
      if (system.configured) throw new Refusal('conflict', 'the guest is configured already');
      const root = params.map('root');
      root.uint('layers');
      root.text('layersSerial');
      takeIdentity(system, params);
      system.configured = true;
      const stages = ['modules', 'disks', 'layers', 'overlay', 'root', 'network', 'identity'];
      return { stages: stages.map((name) => ({ name, ms: 0.5 })) };
    },
    identity: ({ system, params }) => {
      takeIdentity(system, params);
      if (params.optionalBool('copy')) system.orphanSessions();
      return none;
    },
    warm: ({ system }) => {
      system.warmed += 1;
      return none;
    },
    clock: ({ system, params }) => {
      system.clockNanos = params.bigint('clockNanos');
      return none;
    },
    'workload.start': ({ system, params }) => {
      expectGeneration(system, params);
      const id = params.text('id');
      const output = params.text('output') === 'ring' ? 'ring' : 'retain';
      const start = { ...startSpec(params), execId: `workload:${id}`, target: id, output } as const;
      const stdin = params.text('stdin') === 'open';
      return system.startWorkload(id, { ...start, stdin }, params.optionalText('stopSignal') ?? 'SIGTERM');
    },
    'workload.status': ({ system, params }) => {
      const { session } = system.workload(params.text('id'));
      const exit = session?.exit;
      if (exit !== undefined) return { running: false, exit: { ...exit, oom: false } };
      return { running: true, pid: session?.process?.pid };
    },
    'workload.signal': ({ system, params }) => {
      const { session } = system.workload(params.text('id'));
      if (session?.process?.signal(params.text('signal')) === false) throw unknownSignal(params);
      return none;
    },
    freeze: ({ system, params }) => {
      expectWorkload(system, params);
      system.freeze();
      return none;
    },
    thaw: ({ system, params }) => {
      expectGeneration(system, params);
      expectWorkload(system, params);
      system.thaw();
      return none;
    },
    'exec.start': (call) => {
      const { system, port, stream, params } = call;
      const stdin = params.bool('stdin');
      const spec = { ...startSpec(params), execId: params.text('execId'), target: params.text('target') };
      const output = params.optionalText('output') === 'ring' ? 'ring' : 'retain';
      const session = system.start({ ...spec, stdin, output });
      port.respond(stream, { pid: session.process?.pid ?? 0 });
      session.attach(port, stream, { stdout: 0, stderr: 0 });
      session.pump();
      return undefined;
    },
    'exec.attach': attach,
    'exec.signal': ({ system, params }) => {
      const { process } = system.session(params.text('execId'));
      if (process?.signal(params.text('signal')) === false) throw unknownSignal(params);
      return none;
    },
    'exec.resize': ({ system, params }) => {
      const session = system.session(params.text('execId'));
      session.size = { rows: params.uint('rows'), cols: params.uint('cols') };
      return none;
    },
    'exec.list': ({ system, params }) => {
      const from = (params.optionalUint('after') ?? -1) + 1;
      const listed = [...system.sessions.values()].slice(from, from + mostListed);
      const next = from + mostListed < system.sessions.size ? from + mostListed - 1 : undefined;
      const sessions = listed.map(({ spec, exit, process, orphaned }) => ({
        execId: spec.start.execId,
        target: spec.start.target,
        argv: shownArgv(spec.start.argv),
        running: exit === undefined,
        exit,
        pid: process?.pid ?? 0,
        tty: spec.start.tty !== undefined,
        orphaned,
        stdout: { from: spec.stdout.base, to: spec.stdout.end },
        stderr: { from: spec.stderr.base, to: spec.stderr.end },
      }));
      return { sessions, next };
    },
    'exec.read': readOutput,
    'exec.wait': ({ system, params, stream }) => {
      const from = { stdout: params.uint('stdout'), stderr: params.uint('stderr') };
      const { promise, leave } = system.session(params.text('execId')).beyond(from);
      Object.assign(stream.handler, { reset: leave, lost: leave });
      return promise.then(() => none);
    },
    'exec.close': ({ system, params }) => {
      system.close(params.text('execId'));
      return none;
    },
    stat: ({ system, params }) => {
      const path = params.text('path');
      const node = system.tree(params.text('target')).resolve(path, params.bool('follow'));
      const { kind, mode, uid, gid, mtimeNanos } = node;
      const link = kind === 'symlink' ? node.link : undefined;
      return { path, kind, size: node.data.length, mode, uid, gid, mtimeNanos, link };
    },
    stats: ({ system }) => system.stats(),
    'fs.grow': () => none,
    sync: ({ system }) => {
      system.volumes.sync();
      return none;
    },
    'volume.mount': ({ system, params }) => {
      const serial = params.text('serial');
      const target = system.configured ? 'root' : 'vm';
      const mode = params.text('mode') as 'rw' | 'ro' | 'overlay';
      const layer = params.optionalText('layer') ?? serial;
      system.volumes.mount({ serial, path: params.text('path'), mode, layer, target });
      return none;
    },
    'volume.unmount': ({ system, params }) => {
      const serial = params.text('serial');
      const path = system.volumes.list().find((volume) => volume.serial === serial)?.path;
      const user = params.bool('force') || path === undefined ? undefined : system.userOf(path);
      system.volumes.unmount(serial, user);
      return none;
    },
    'volume.grow': ({ system, params }) => {
      const serial = params.text('serial');
      if (!system.volumes.list().some((volume) => volume.serial === serial))
        throw new Refusal('not_found', 'the volume is not mounted');
      return none;
    },
    'volume.list': ({ system }) => ({
      volumes: system.volumes.list().map(({ serial, path, mode }) => ({ serial, path, mode })),
    }),
    shutdown: ({ system, params }) => {
      void system.shutdown(params.uint('graceMs'));
      return none;
    },
  } satisfies Record<string, Method>,
);

function attach({ system, port, stream, params }: MethodCall): undefined {
  const session = system.session(params.text('execId'));
  const offsets = { stdout: params.optionalUint('stdout'), stderr: params.optionalUint('stderr') };
  const opened = session.attach(port, stream, offsets);
  if (opened === undefined) throw new Refusal('conflict', 'that offset is not held');
  port.respond(stream, { pid: session.process?.pid ?? 0, ...opened });
  session.pump();
}

function startSpec(params: Fields): Pick<StartSpec, 'argv' | 'env' | 'cwd' | 'user' | 'tty'> {
  const tty = params.optionalMap('tty');
  return {
    argv: params.texts('argv'),
    env: params.textMap('env'),
    cwd: params.optionalText('cwd'),
    user: params.optionalText('user'),
    tty: tty === undefined ? undefined : { rows: tty.uint('rows'), cols: tty.uint('cols') },
  };
}

function takeIdentity(system: GuestSystem, params: Fields): void {
  if (params.bytes('entropy').length < 64)
    throw new Refusal('invalid_request', 'entropy has less than 64 bytes');
  if (!/^[0-9a-f]{32}$/.test(params.text('machineId')))
    throw new Refusal('invalid_request', 'machineId is not 32 hex digits');
  system.clockNanos = params.bigint('clockNanos');
  system.hostname = params.text('hostname');
  system.generation = params.uint('generation');
  system.identities.push({
    hostname: system.hostname,
    machineId: params.text('machineId'),
    generation: system.generation,
    address: params.optionalMap('network')?.text('address'),
    copy: params.optionalBool('copy') ?? false,
    resetConnections: params.optionalBool('resetConnections') ?? false,
  });
}

/** What is meant for a machine that this one has not been told to be. */
function expectGeneration(system: GuestSystem, params: Fields): void {
  const wanted = params.optionalUint('generation');
  if (wanted !== undefined && wanted !== system.generation)
    throw new Refusal('conflict', `this machine has not been told that it is generation ${wanted}`);
}

function expectWorkload(system: GuestSystem, params: Fields): void {
  const id = params.optionalText('id');
  if (id !== undefined) system.workload(id);
}

const unknownSignal = (params: Fields) =>
  new Refusal('invalid_request', `there is no signal ${params.text('signal')}`);

/** One that is long is cut, and ends with an ellipsis. */
function shownArgv(argv: readonly string[]): string[] {
  let room = shownCharacters;
  const shown: string[] = [];
  for (const word of argv) {
    if (word.length > room) return [...shown, `${word.slice(0, room)}…`];
    room -= word.length;
    shown.push(word);
  }
  return shown;
}
