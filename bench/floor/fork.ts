import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type RawTemplate, rawSave } from './clone.ts';
import { Conversation } from './conversation.ts';
import { RawQmp } from './qmp.ts';
import type { RawMachine, RawState } from './raw-machine.ts';

type Source = { machine: RawMachine; disk: string; conversation: Conversation };

/** A raw clone with a workload, of which children are made: through all the steps of a fork, by a script and with nothing of ours around. */
export class RawSource implements AsyncDisposable {
  readonly #template: RawTemplate;
  readonly #dir: string;
  readonly #source: Source;
  readonly #qmp: RawQmp;
  readonly #state: RawState;

  private constructor(template: RawTemplate, dir: string, source: Source, qmp: RawQmp) {
    this.#template = template;
    this.#dir = dir;
    this.#source = source;
    this.#qmp = qmp;
    this.#state = { memory: path.join(dir, 'memory'), devices: path.join(dir, 'devices') };
  }

  /** What its memory was made from is copied here, once: whoever forks again has that already. */
  static async make(template: RawTemplate, argv: string[]): Promise<RawSource> {
    const dir = await mkdtemp(path.join(tmpdir(), 'viv-raw-fork-'));
    const source = await template.source(argv);
    const made = new RawSource(template, dir, source, await RawQmp.connect(source.machine));
    await copyFile(template.state.memory, made.#state.memory);
    return made;
  }

  /** Milliseconds until so many children of one save have answered, made one after the other. They are gone afterwards. */
  async fork(count = 1): Promise<number> {
    const { conversation, machine, disk } = this.#source;
    const { memoryBytes } = this.#template;
    const began = performance.now();
    await conversation.ask([['freeze', {}]]);
    await rawSave(machine, this.#qmp, memoryBytes, this.#state, 'stay');
    const launches = [];
    for (let number = 0; number < count; number++)
      launches.push(await this.#template.childOf(disk, this.#state));
    await this.#qmp.execute('cont');
    await conversation.ask([['thaw', {}]]);
    await using children = new AsyncDisposableStack();
    for (const launch of launches) {
      const child = children.use(await launch());
      const voice = await child.open('control');
      await new Conversation(voice).ask([this.#template.identityOfChild(), ['thaw', {}]]);
    }
    return performance.now() - began;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#qmp[Symbol.dispose]();
    await this.#source.machine[Symbol.asyncDispose]();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
