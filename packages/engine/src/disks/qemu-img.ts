import { spawn } from 'node:child_process';
import { VivError } from '@vivarium/model';

const installHint: Readonly<Record<string, string>> = {
  'qemu-img': 'Install the package qemu-utils, or run `viv setup`.',
  'mkfs.ext4': 'Install the package e2fsprogs, or run `viv setup`.',
};

/**
 * Runs a disk tool, without a shell.
 *
 * @returns what it printed.
 * @throws VivError `disk_full`, `assets_missing` where the tool is not installed, `internal` with what it said otherwise.
 */
export async function runTool(
  tool: 'qemu-img' | 'mkfs.ext4' | 'cp',
  argv: readonly string[],
  signal?: AbortSignal,
  cwd?: string,
): Promise<string> {
  const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  const child = spawn(tool, argv, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
    signal,
    cwd,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  let code: number | null;
  try {
    code = await new Promise((resolve, reject) => {
      child.once('error', reject).once('close', resolve);
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw VivError.from(cause);
    throw new VivError('assets_missing', `${tool} is not installed`, { hint: installHint[tool], cause });
  }
  if (code === 0) return stdout;
  const said = stderr.trim();
  if (/No space left on device|quota exceeded/i.test(said))
    throw new VivError('disk_full', `No space left: ${said}`);
  throw new VivError('internal', `${tool} ${argv[0] ?? ''} failed with status ${code}: ${said}`);
}

/** A failure of `qemu-img` in which a VMM holds the disk, as `busy`; any other as it is. */
export function whereInUse(error: unknown, file: string): VivError {
  const failure = VivError.from(error);
  if (!/\block\b/i.test(failure.message)) return failure;
  return new VivError('busy', `The disk ${file} is in use by a VMM`, { cause: error });
}
