/** What can be ended: a socket. */
export interface Held {
  once(event: 'close', listener: () => void): unknown;
  destroy(): unknown;
}

/** What setTimeout can hold. */
const longestMs = 2 ** 31 - 1;

/** Connections by the token they were opened with. */
export class Connections {
  readonly #open = new Map<string, Set<Held>>();

  /** `expiresAt`: milliseconds since 1970. */
  add(token: string, connection: Held, expiresAt?: number): void {
    const open = this.#open.get(token) ?? new Set();
    if (open.has(connection)) return;
    this.#open.set(token, open.add(connection));
    const left = expiresAt === undefined ? longestMs : expiresAt - Date.now();
    const timer = setTimeout(() => connection.destroy(), Math.min(Math.max(left, 0), longestMs)).unref();
    // One that can't be held longer than a timer ends with it: its client comes back.
    connection.once('close', () => {
      clearTimeout(timer);
      open.delete(connection);
      if (open.size === 0 && this.#open.get(token) === open) this.#open.delete(token);
    });
  }

  end(token: string): void {
    for (const connection of this.#open.get(token) ?? []) connection.destroy();
  }
}
