import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { defineCommand } from '../command.ts';
import { type Context, write } from '../context.ts';
import { consoleKeys, KeyWatch } from '../terminal/detach-keys.ts';
import { unreadable } from '../terminal/drive.ts';
import { rawMode } from '../terminal/raw.ts';

export const command = defineCommand({
  arguments: '<name>',
  completes: ['instance'],
  notes: ['Ctrl-] leaves. `viv logs --source console` shows what was printed before.'],
  examples: [['viv console web', 'the serial console, both ways']],
  async run(context, [name = '']) {
    const vm = await (await context.vivarium()).get(name);
    const line = await vm.console({ signal: context.signal });
    if (context.stdin.isTTY) context.note(`Connected to the console of ${vm.name}. Ctrl-] leaves.`);
    await converse(context, line);
    if (context.stdin.isTTY) context.note('\r');
    return 0;
  },
});

/** Until the VM is gone, the keys to leave are typed, or a piped input has ended and the line is closed. */
async function converse(context: Context, line: Duplex): Promise<void> {
  const { stdin } = context;
  using _raw = rawMode(stdin);
  const left = Promise.withResolvers<void>();
  const keys = new KeyWatch(consoleKeys);
  const onData = (data: Buffer): void => {
    const { pass, detached } = keys.scan(data);
    // Of a terminal every key is taken at once: behind a guest that does not read, the keys to leave must be seen.
    if (pass.byteLength > 0 && !line.write(pass) && !stdin.isTTY) {
      stdin.pause();
      line.once('drain', () => stdin.resume());
    }
    if (detached) left.resolve();
  };
  const show = async (): Promise<void> => {
    for await (const data of line) await write(context.stdout, data as Uint8Array);
  };
  const onError = (error: Error): void => left.reject(unreadable(error));
  stdin.on('data', onData).once('error', onError);
  try {
    await Promise.race([show(), left.promise]);
  } finally {
    stdin.off('data', onData).off('error', onError);
    stdin.pause();
    if (!line.destroyed) {
      line.destroy();
      await once(line, 'close').catch(() => undefined);
    }
  }
}
