/** Something that takes a step back. Must not throw when there is nothing to take back. */
export type Undo = () => Promise<void> | void;

/** Each step registers how to take it back; success forgets them, failure runs them, newest first. */
export class Reverter {
  readonly #undos: { what: string; undo: Undo }[] = [];

  add(what: string, undo: Undo): void {
    this.#undos.push({ what, undo });
  }

  /** Forgets every step: from here on there is no way back, and none is needed. */
  disarm(): void {
    this.#undos.length = 0;
  }

  /** Takes all steps back, also when one of them fails. Answers what could not be taken back. */
  async revert(): Promise<{ what: string; error: unknown }[]> {
    const failures: { what: string; error: unknown }[] = [];
    for (let last = this.#undos.pop(); last !== undefined; last = this.#undos.pop()) {
      try {
        await last.undo();
      } catch (error) {
        failures.push({ what: last.what, error });
      }
    }
    return failures;
  }
}
