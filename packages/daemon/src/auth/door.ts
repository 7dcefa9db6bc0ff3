import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isVivError, VivError } from '@vivarium/model';
import { networkOf } from './addresses.ts';
import { Buckets, type Rate } from './buckets.ts';
import { type Caller, nobody, owner } from './caller.ts';
import { allowedOrigin, checkOrigin, type OriginRules } from './origins.ts';
import type { Tokens } from './tokens.ts';

/** Wrong tokens from one address: ten at once, then one in six seconds. */
const failureRate: Rate = { perSecond: 1 / 6, burst: 10 };

export interface DoorOptions extends OriginRules {
  readonly tokens: Tokens;
  /** One that may do everything, beside those that were made. */
  readonly token?: string;
  /** Requests of one token, or of an address without one. Default: no limit. */
  readonly rate?: Rate;
}

/** Settles who may call through one listener: everybody on the unix socket, who has a token elsewhere. */
export class Door {
  readonly #options: DoorOptions;
  readonly #failures = new Buckets(failureRate);
  readonly #requests: Buckets | undefined;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#requests = options.rate && new Buckets(options.rate);
  }

  /** Answers the origin of the web page that asks, where it is one that may. @throws VivError `forbidden`. */
  knock(incoming: IncomingMessage): string | undefined {
    checkOrigin(incoming, this.#options);
    return allowedOrigin(incoming, this.#options);
  }

  /** @throws VivError `unauthorized`, `rate_limited`. */
  async authenticate(incoming: IncomingMessage): Promise<Caller> {
    if (this.#options.local) return owner;
    const address = networkOf(incoming.socket.remoteAddress);
    refuseFor(this.#failures.wait(address), 'Too many wrong tokens came from this address');
    const caller = await this.#bearerOf(incoming, address);
    this.#limit(incoming, caller);
    return caller;
  }

  /** For what anybody may ask; only counts. @throws VivError `rate_limited`. */
  welcome(incoming: IncomingMessage): Caller {
    const caller = this.#options.local ? owner : nobody;
    this.#limit(incoming, caller);
    return caller;
  }

  #limit({ socket }: IncomingMessage, caller: Caller): void {
    if (this.#options.local || this.#requests === undefined) return;
    refuseFor(this.#requests.take(caller.tokenId ?? networkOf(socket.remoteAddress)), 'Too many requests');
  }

  async #bearerOf(incoming: IncomingMessage, address: string): Promise<Caller> {
    const { token, tokens } = this.#options;
    const [, brought] = /^Bearer +(.*)$/i.exec(incoming.headers.authorization ?? '') ?? [];
    if (brought === undefined || brought === '')
      throw new VivError('unauthorized', 'A bearer token is needed', {
        hint: 'Make one with `viv token create` on the daemon’s host.',
      });
    if (token !== undefined && isSame(brought, token)) return owner;
    try {
      return await tokens.verify(brought);
    } catch (error) {
      if (isVivError(error, 'unauthorized')) this.#failures.take(address);
      throw error;
    }
  }
}

function refuseFor(milliseconds: number, why: string): void {
  if (milliseconds === 0) return;
  const seconds = Math.ceil(milliseconds / 1000);
  throw new VivError('rate_limited', `${why}; try again in ${seconds} s`, {
    details: { retry_after: seconds },
  });
}

/** Digests are compared, which are of one length, and in constant time: a refusal tells nothing about the token. */
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digestOf(a), digestOf(b));
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
