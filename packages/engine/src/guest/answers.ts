import type { ExecExit, FileStat, InstanceStats, VolumeMode } from '@vivarium/model';
import { type Fields, ProtocolError } from '@vivarium/protocol';
import type { GuestSession, GuestVolume, IdentityTold, WorkloadExit } from './guest.ts';
import { printable } from './guest-errors.ts';

/** How the agent's answers become the model's shapes. All throw ProtocolError where a field is missing or wrong. */

const kinds: readonly string[] = ['file', 'directory', 'symlink', 'other'] satisfies FileStat['kind'][];

export function readStat(result: Fields): FileStat {
  return { path: result.text('path'), ...readFileFields(result) };
}

/** Of a file, but for its name. */
export function readFileFields(result: Fields): Omit<FileStat, 'path'> {
  const kind = result.text('kind');
  if (!kinds.includes(kind)) throw new ProtocolError('invalid_field', `stat: there is no kind "${kind}"`);
  const link = result.optionalText('link');
  return {
    kind: kind as FileStat['kind'],
    sizeBytes: count(result, 'size'),
    mode: result.uint('mode') & 0o7777,
    uid: result.uint('uid'),
    gid: result.uint('gid'),
    // 64 bits of nanoseconds reach from 1677 to 2554: any of them is a date.
    modifiedAt: new Date(Number(result.bigint('mtimeNanos') / 1_000_000n)).toISOString(),
    ...(link === undefined ? {} : { linkTarget: link }),
  };
}

export function readStats(result: Fields): Omit<InstanceStats, 'at' | 'vmm'> {
  const memory = result.map('memory');
  const disk = result.map('disk');
  const network = result.map('network');
  return {
    cpuNanos: count(result, 'cpuNanos'),
    memory: {
      totalBytes: count(memory, 'total'),
      usedBytes: count(memory, 'used'),
      availableBytes: count(memory, 'available'),
    },
    disk: {
      totalBytes: count(disk, 'total'),
      usedBytes: count(disk, 'used'),
      readBytes: count(disk, 'read'),
      writtenBytes: count(disk, 'written'),
    },
    network: { receivedBytes: count(network, 'received'), sentBytes: count(network, 'sent') },
    processes: result.uint('processes'),
  };
}

export function readIdentityTold(result: Fields): IdentityTold {
  const clockSource = result.optionalText('clockSource');
  return clockSource === undefined ? {} : { clockSource: printable(clockSource, 32) };
}

export function readStages(
  result: Fields,
): IdentityTold & { stages: { name: string; milliseconds: number }[] } {
  const stages = result
    .maps('stages')
    .map((stage) => ({ name: stage.text('name'), milliseconds: stage.number('ms') }));
  return { stages, ...readIdentityTold(result) };
}

export function readSessions(result: Fields): { sessions: GuestSession[]; next: number | undefined } {
  const sessions = result.maps('sessions').map((session) => {
    const exit = session.optionalMap('exit');
    return {
      execId: session.text('execId'),
      target: session.text('target'),
      argv: session.texts('argv'),
      running: session.bool('running'),
      ...(exit === undefined ? {} : { exit: readExit(exit) }),
      // An agent of before does not say these.
      pid: session.optionalUint('pid') ?? 0,
      tty: session.optionalBool('tty') ?? false,
      orphaned: session.optionalBool('orphaned') ?? false,
      stdout: readHeld(session.optionalMap('stdout')),
      stderr: readHeld(session.optionalMap('stderr')),
    };
  });
  return { sessions, next: result.optionalUint('next') };
}

const readHeld = (held: Fields | undefined) => ({
  from: held === undefined ? 0 : count(held, 'from'),
  to: held === undefined ? 0 : count(held, 'to'),
});

export function readSessionOutput(result: Fields): { from: number; data: Uint8Array; over: boolean } {
  return { from: count(result, 'from'), data: result.bytes('data'), over: result.bool('over') };
}

const modes: readonly string[] = ['rw', 'ro', 'overlay'] satisfies VolumeMode[];

export function readVolumes(result: Fields): Pick<GuestVolume, 'serial' | 'path' | 'mode'>[] {
  return result.maps('volumes').map((volume) => {
    const mode = volume.text('mode');
    if (!modes.includes(mode))
      throw new ProtocolError('invalid_field', `volumes: there is no mode "${mode}"`);
    return { serial: volume.text('serial'), path: volume.text('path'), mode: mode as VolumeMode };
  });
}

/** Of `workload.status`; undefined while it runs. */
export function readWorkloadStatus(id: string, result: Fields): WorkloadExit | undefined {
  if (result.bool('running')) return undefined;
  const exit = result.optionalMap('exit');
  return exit === undefined ? undefined : readWorkloadExit(id, exit);
}

export function readWorkloadExit(id: string, exit: Fields): WorkloadExit {
  return { id, ...readExit(exit), oom: exit.optionalBool('oom') ?? false };
}

/** How a process ended. The code becomes an exit status and the name reaches terminals, so both are held to their form. */
export function readExit(fields: Fields): ExecExit {
  const code = fields.uint('code');
  if (code > 255) throw new ProtocolError('invalid_field', `exit: there is no code ${code}`);
  const signal = fields.optionalText('signal');
  if (signal === undefined) return { code };
  if (!/^[A-Z0-9+-]{1,16}$/.test(signal))
    throw new ProtocolError('invalid_field', 'exit: not the name of a signal');
  return { code, signal };
}

/** A counter of 64 bits as a number; above 2^53 its last digits are lost, which is no reason to refuse it. */
export function count(fields: Fields, key: string): number {
  const value = fields.bigint(key);
  if (value < 0n) throw new ProtocolError('invalid_field', `${key} is negative`);
  return Number(value);
}
