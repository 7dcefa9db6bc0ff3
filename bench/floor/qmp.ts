import { createInterface } from 'node:readline';
import type { RawMachine } from './raw-machine.ts';

/** Just enough of QEMU's machine protocol: one command at a time, no events. */
export class RawQmp implements Disposable {
  readonly #socket: import('node:net').Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: import('node:net').Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async connect(machine: RawMachine): Promise<RawQmp> {
    const qmp = new RawQmp(await machine.open('qmp'));
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(JSON.stringify({ execute: command, arguments: args }));
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`QEMU ended during ${command}`);
      const answer = JSON.parse(value) as { return?: unknown; error?: { desc: string } };
      if (answer.error) throw new Error(`${command}: ${answer.error.desc}`);
      if ('return' in answer) return answer.return;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
