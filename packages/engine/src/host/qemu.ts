import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { VivError } from '@vivarium/model';

const run = promisify(execFile);

/** Oldest QEMU that is driven: its command line and QMP are what all of this was measured with. */
export const oldestQemu = { major: 7, minor: 2 } as const;

/**
 * Machine types that have been tried, best first. The type is pinned, and not the installed QEMU's newest, so that a guest
 * sees the same machine (and a saved state fits) after QEMU has been upgraded.
 */
const knownMachines = ['pc-q35-7.2'] as const;

export interface QemuInfo {
  /** Absolute path of the binary. */
  path: string;
  /** `7.2.22`. */
  version: string;
  /** Pinned machine type: `pc-q35-7.2`. */
  machine: string;
}

const installHint = 'Install QEMU 7.2 or newer: `apt-get install qemu-system-x86`.';

/** The file of a program: as given when that is a path, else the first on the search path; undefined where there is none. */
export async function findProgram(
  name: string,
  searchPath = process.env.PATH ?? '',
): Promise<string | undefined> {
  const candidates = name.includes('/')
    ? [path.resolve(name)]
    : [...searchPath.split(':').filter(Boolean), '/usr/sbin', '/sbin'].map((dir) => path.join(dir, name));
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      if ((await stat(candidate)).isFile()) return candidate;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP'].includes(code ?? '')) throw error;
    }
  }
  return undefined;
}

/** `7.2.22` out of what `qemu-system-x86_64 --version` prints. */
export function parseQemuVersion(output: string): string | undefined {
  return /QEMU emulator version (\d+\.\d+(?:\.\d+)?)/.exec(output)?.[1];
}

/** The best tried machine type this QEMU has; else its newest q35. */
export function chooseMachine(machineHelp: string): string | undefined {
  const present = [...machineHelp.matchAll(/^(pc-q35-(\d+)\.(\d+))\s/gm)].map(([, name, major, minor]) => ({
    name: String(name),
    order: Number(major) * 1000 + Number(minor),
  }));
  const tried = knownMachines.find((name) => present.some((machine) => machine.name === name));
  return tried ?? present.sort((a, b) => b.order - a.order)[0]?.name;
}

/** Answers of binaries asked before, by path, modification time and size. */
const asked = new Map<string, Promise<QemuInfo>>();
/** Where programs were found, by name and search path, and until when that is believed: looking along it costs a call for each directory. */
const located = new Map<string, { file: string; until: number }>();
/** Milliseconds: ten forks look once, and what is installed meanwhile is found soon. */
const believedFor = 5_000;

/**
 * Finds QEMU and what it is. Asked once per binary and process: the two runs cost about 80 ms.
 *
 * @throws VivError `vmm_missing` where there is none, it can't be run, or it is older than 7.2.
 */
export async function findQemu(name = 'qemu-system-x86_64'): Promise<QemuInfo> {
  const file = await locate(name);
  const { mtimeMs, size } = await stat(file);
  const key = `${file} ${mtimeMs} ${size}`;
  let answer = asked.get(key);
  if (!answer) {
    answer = ask(file);
    asked.set(key, answer);
    answer.catch(() => asked.delete(key));
  }
  return answer;
}

async function locate(name: string): Promise<string> {
  const key = `${name}\n${process.env.PATH}`;
  const known = located.get(key);
  if (known !== undefined && performance.now() < known.until && existsSync(known.file)) return known.file;
  const file = await findProgram(name);
  if (!file) throw new VivError('vmm_missing', `${name} is not installed`, { hint: installHint });
  located.set(key, { file, until: performance.now() + believedFor });
  return file;
}

async function ask(file: string): Promise<QemuInfo> {
  const options = { timeout: 10_000, env: { PATH: process.env.PATH, LC_ALL: 'C' } };
  let outputs: { stdout: string }[];
  try {
    outputs = await Promise.all([
      run(file, ['--version'], options),
      run(file, ['-machine', 'help'], options),
    ]);
  } catch (cause) {
    throw new VivError('vmm_missing', `${file} cannot be run`, { hint: installHint, cause });
  }
  const version = parseQemuVersion(outputs[0]?.stdout ?? '');
  if (!version) throw new VivError('vmm_missing', `${file} is no QEMU`, { hint: installHint });
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldestQemu.major || (major === oldestQemu.major && minor < oldestQemu.minor)) {
    throw new VivError('vmm_missing', `${file} is QEMU ${version}, which is too old`, { hint: installHint });
  }
  const machine = chooseMachine(outputs[1]?.stdout ?? '');
  if (!machine) throw new VivError('vmm_missing', `${file} has no q35 machine`, { hint: installHint });
  return { path: file, version, machine };
}
