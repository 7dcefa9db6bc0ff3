import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { VivError } from '@vivarium/model';
import type { Context } from './context.ts';

/** The engine's own reader of the configuration as a program. It is run, not imported: this room does not know the engine. */
const program = '@vivarium/engine/config';

/** Runs it; what it says goes through us. Answers its exit status. */
export async function runConfig(
  context: Context,
  word: 'show' | 'path' | 'check',
  flags: { json?: boolean },
): Promise<number> {
  const child = spawn(process.execPath, [locate(), word, ...(flags.json ? ['--json'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: context.env,
  });
  const exited = once(child, 'exit');
  for await (const chunk of child.stdout) await context.print(chunk as Buffer);
  const [code] = (await exited) as [number | null];
  return code ?? 1;
}

function locate(): string {
  try {
    return fileURLToPath(import.meta.resolve(program));
  } catch (cause) {
    throw new VivError('not_supported', 'The engine is not installed beside this viv.', {
      hint: 'Install the package `vivarium`, or use ./viv in a checkout.',
      cause,
    });
  }
}
