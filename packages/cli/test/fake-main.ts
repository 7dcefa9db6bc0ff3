import { setImmediate as nextTurn } from 'node:timers/promises';
import { processContext } from '../src/process-context.ts';
import { runProgram } from '../src/program.ts';
import { FakeVivarium, fakeImage, fakeInstance } from './fake-vivarium.ts';

/** `viv` as a process of its own, in front of a Vivarium in memory: for tests that need a real shell or terminal. */
const vivarium = new FakeVivarium({
  /** Prints each byte it reads in hexadecimal; q ends it. */
  async keys({ stdin, out }) {
    out('ready\r\n');
    for await (const data of stdin as AsyncIterable<Buffer>) {
      for (const byte of data) out(`<${byte.toString(16).padStart(2, '0')}>`);
      if (data.includes('q')) break;
    }
    return 5;
  },
  /** Prints the first size it is told. */
  async sizes({ out, heard }) {
    out('ready\r\n');
    while (!heard.some((word) => word.startsWith('resize'))) await nextTurn();
    out(`${heard.join(' ')}\r\n`);
    return 0;
  },
  async forever({ out, signalled }) {
    for (let line = 0; ; line++) {
      out(`line ${line}\n`);
      const told = await Promise.race([signalled, nextTurn()]);
      if (told !== undefined) return 143;
    }
  },
});
vivarium.onStop = () => vivarium.connections.at(-1)?.signal('SIGKILL');
vivarium.add(fakeInstance({ name: 'web' }), fakeInstance({ name: 'worker', state: 'Stopped' }));
vivarium.imageList.push(fakeImage('busybox'), {
  ...fakeImage('app'),
  references: ['localhost:5000/app:1', 'localhost:5000/app:2'],
});

for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
const context = processContext({ connect: async () => vivarium });
const status = await runProgram(context, process.argv.slice(2));
await context[Symbol.asyncDispose]();
process.exit(status);
