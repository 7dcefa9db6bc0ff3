import { isVivError } from '@vivarium/model';
import { sockets } from './command-line.ts';

/** Seconds after the last word of this process in which the shim lets the guest run. */
const leaseSeconds = 15;
const renewMs = 5_000;
/** Milliseconds the shim has to answer. */
const answerMs = 10_000;

/** {@link ShimClient.request}. */
type Ask = (method: string, params: object, timeoutMs: number) => Promise<unknown>;

/**
 * The shim's promise to let the vCPUs run, should this process be killed, or hang, while they are stopped. Taken before they
 * are, and renewed for as long as it lives.
 */
export class PauseGuard {
  readonly #ask: Ask;
  readonly #timer: NodeJS.Timeout;

  private constructor(ask: Ask) {
    this.#ask = ask;
    this.#timer = setInterval(() => {
      // The release tells.
      hold(ask).catch(() => this.abandon());
    }, renewMs).unref();
  }

  /** @throws VivError where the shim can't promise it: then nothing is to be stopped. */
  static async take(ask: Ask): Promise<PauseGuard> {
    await hold(ask);
    return new PauseGuard(ask);
  }

  /** False where the guest was let run before: what was saved meanwhile is not of one instant. */
  async release(): Promise<boolean> {
    clearInterval(this.#timer);
    try {
      await this.#ask('guard_release', {}, answerMs);
      return true;
    } catch (error) {
      if (!isVivError(error, 'conflict')) throw error;
      return false;
    }
  }

  /** Renews it no more: the guest can't be let run from here, and the shim does it in its time. */
  abandon(): void {
    clearInterval(this.#timer);
  }
}

async function hold(ask: Ask): Promise<void> {
  await ask('guard', { seconds: leaseSeconds, socket: sockets.guard }, answerMs);
}
