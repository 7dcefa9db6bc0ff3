import { isBrokenPipe } from './failure.ts';
import { processContext } from './process-context.ts';
import { runProgram } from './program.ts';

/** `viv` itself: runs one command line against the real process, and ends it with the command's exit status. */
export async function main(argv: readonly string[]): Promise<never> {
  // Writes report their own failures; without a listener a reader that goes away would end us with a stack trace.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (!isBrokenPipe(error)) throw error;
    });
  }
  const context = processContext();
  let status: number;
  try {
    status = await runProgram(context, argv);
  } finally {
    await context[Symbol.asyncDispose]();
  }
  // Everything has been written and closed by now; a stdin that nobody reads any more would keep the process alive.
  process.exit(status);
}
