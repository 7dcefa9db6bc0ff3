import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { VivError } from '@vivarium/model';
import type { Digests } from '../../saved-states/check.ts';

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
