import type { Vm } from '@vivarium/model';

const printing = 'n=0; while :; do echo $n; n=$((n+1)); usleep 10000; done';

/** An exec that prints numbered lines for as long as its guest lives. None may be missing, and none may come twice. */
export class NumberedLines {
  /** Lines so far. */
  count = 0;
  readonly #wrong: string[] = [];
  readonly #over: Promise<void>;
  readonly #stop = new AbortController();

  constructor(vm: Vm) {
    this.#over = this.#read(vm);
  }

  get wrong(): readonly string[] {
    return this.#wrong;
  }

  /** Resolves when it has ended, whatever the reason; `expected`: of that there is nothing to tell. */
  async end({ expected }: { expected: boolean }): Promise<readonly string[]> {
    this.#stop.abort();
    await this.#over;
    return expected ? this.#wrong.filter((text) => !text.startsWith('ended: ')) : this.#wrong;
  }

  async #read(vm: Vm): Promise<void> {
    let rest = '';
    try {
      for await (const { data } of vm.exec(['sh', '-c', printing], { signal: this.#stop.signal })) {
        const lines = (rest + Buffer.from(data).toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.#take(line);
      }
      if (!this.#stop.signal.aborted) this.#wrong.push('ended: by itself');
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#wrong.push(`ended: ${String(error)}`);
    }
  }

  #take(line: string): void {
    if (line !== String(this.count))
      this.#wrong.push(`line ${JSON.stringify(line)} instead of ${this.count}`);
    this.count = Number(line) + 1;
  }
}
