import type { Duplex } from 'node:stream';
import { abortable } from './abort.ts';
import { GuestChannel } from './channel.ts';
import { channelError } from './guest-errors.ts';

/** The bulk conversation: opened when first needed, and anew when it broke. Its breaking never touches control. */
export class BulkChannel {
  readonly #open: () => Promise<Duplex>;
  readonly #closing = new AbortController();
  #current: Promise<GuestChannel> | undefined;
  #gate: Promise<void> | undefined;

  constructor(open: () => Promise<Duplex>) {
    this.#open = open;
  }

  /** The open channel; callers at the same time share one handshake, which no single caller's signal ends. */
  get(signal?: AbortSignal): Promise<GuestChannel> {
    this.#current ??= this.#connect();
    return abortable(this.#current, signal);
  }

  /** Nothing is sent or read until the returned function is called; one that is not open is not opened meanwhile. */
  async hold(signal?: AbortSignal): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    const channel = await this.#current?.catch(() => undefined);
    const held = channel?.hold();
    const open = () => {
      held?.listen();
      held?.release();
      this.#gate = undefined;
      resolve();
    };
    try {
      await held?.ask('ping', {}, signal);
      held?.silence();
      return open;
    } catch (error) {
      open();
      throw error;
    }
  }

  close(reason: unknown): void {
    this.#closing.abort(reason);
    this.#current?.then(
      (channel) => channel.close(reason),
      () => undefined, // Its callers have been told.
    );
  }

  #connect(): Promise<GuestChannel> {
    const connecting = this.#greet();
    const forget = () => {
      if (this.#current === connecting) this.#current = undefined;
    };
    connecting.then((channel) => channel.closed.then(forget), forget);
    return connecting;
  }

  async #greet(): Promise<GuestChannel> {
    const { signal } = this.#closing;
    await this.#gate;
    if (signal.aborted) throw signal.reason;
    const duplex = await this.#open().catch((error) => {
      throw channelError('bulk', error);
    });
    const { channel } = await GuestChannel.greet('bulk', duplex, { signal });
    return channel;
  }
}
