import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { VivError } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { signalStatus } from '../failure.ts';

/** The engine's own set-up as a program. It is run, not imported: this room does not know the engine. */
const program = '@vivarium/engine/setup';

export const command = defineCommand<{ upgrade?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--upgrade', 'take a newer guest kernel where there is one');
  },
  notes: ['In a checkout, `./viv` does this by itself on first use.'],
  examples: [['viv setup', 'QEMU, kernel, agent and the built-in image']],
  async run(context, _args, flags) {
    const child = spawn(process.execPath, [locate(), ...(flags.upgrade ? ['--upgrade'] : [])], {
      stdio: 'inherit',
      env: context.env,
    });
    // It gets the terminal's signals itself and puts things in order; ours is its answer.
    using _signals = context.onSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], (name) => void child.kill(name));
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return code ?? signalStatus(signal ?? 'SIGKILL');
  },
});

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
