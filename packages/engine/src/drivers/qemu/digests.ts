import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { isVivError, VivError } from '@vivarium/model';
import type { Digests } from '../../saved-states/check.ts';
import type { Restoring } from './restore.ts';

const run = promisify(execFile);

/** The shim's program reads memory files of gigabytes: natively, and in a process of its own. */
export function shimDigests(shimPath: string): Digests {
  return async (files) => {
    try {
      const { stdout } = await run(shimPath, ['digest', ...files], { env: {} });
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { bytes: number; digest: string });
    } catch (cause) {
      throw new VivError('internal', `The digests of saved memory could not be made: ${String(cause)}`, {
        cause,
      });
    }
  };
}

/** Gigabytes from a slow disk. Milliseconds. */
const digestTimeoutMs = 30 * 60_000;

/** By a shim that runs already: 5 ms sooner. One of an older version can't, and then it is `program` that is asked. */
export function digestsBy(shim: Restoring['shim'], program: Digests): Digests {
  return async (files) => {
    try {
      const told = await shim('memory_digest', { files }, digestTimeoutMs);
      return (told as { files: { bytes: number; digest: string }[] }).files;
    } catch (error) {
      if (!isVivError(error, 'invalid_request')) throw error;
      return program(files);
    }
  };
}
