import { rm } from 'node:fs/promises';
import path from 'node:path';
import { operationAllowed } from '@vivarium/lifecycle';
import { type ForkOptions, type ForkState, VivError } from '@vivarium/model';
import { createId } from '../ids.ts';
import type { MarkedCall } from '../requests/request.ts';
import { expectSaveable } from '../volumes/in-use.ts';
import { deadlines, invalidState } from './actions.ts';
import type { Context } from './context.ts';
import { canBeginAhead, checkForkOptions, makeCopies, makeFirst, unmake } from './copies.ts';
import { flattenSoon } from './flatten.ts';
import type { Instance } from './instance.ts';
import { type Origin, type TakeOptions, takeOrigin } from './origin.ts';

/** Where instants lie that copies are being made from; what a kill leaves here is removed when the engine opens. */
export const capturesDir = (context: Pick<Context, 'dir'>): string =>
  path.join(path.dirname(context.dir), 'captures');

/** What copies are made from: removed as soon as it is whole and all of them have loaded it. */
class Instant {
  readonly #dir: string;
  /** Copies by their numbers, and 0: whoever makes it. */
  readonly #users: Set<number>;
  #removed: Promise<void> | undefined;

  constructor(dir: string, copies: number) {
    this.#dir = dir;
    this.#users = new Set(Array.from({ length: copies + 1 }, (_, number) => number));
  }

  used(by: number): void {
    this.#users.delete(by);
    // Whoever removes it in the end hears of it.
    if (this.#users.size === 0) this.remove().catch(() => undefined);
  }

  usedAgain(by: number): void {
    this.#users.add(by);
  }

  remove(): Promise<void> {
    this.#removed ??= rm(this.#dir, { recursive: true, force: true });
    return this.#removed;
  }
}

/** Copies of one instant. The source is held only for as long as it takes to save that. */
export async function forkInstance(
  context: Context,
  source: Instance,
  options: ForkOptions & MarkedCall,
): Promise<Instance[]> {
  const call = { signal: options.signal, onProgress: options.onProgress, request: options.request };
  const dir = path.join(capturesDir(context), createId());
  const instant = new Instant(dir, options.count ?? 1);
  const making = { call, loaded: (number: number) => instant.used(number) };
  let first: Promise<Instance> | undefined;
  const begin = (origin: Origin) => {
    first = makeFirst(context, origin, options, making);
    return first;
  };
  try {
    const foreseen = canBeginAhead(options) ? begin : undefined;
    const origin = await take(context, source, options, { dir, foreseen });
    if (origin.unforeseen) {
      // Whatever it failed with, it is made again like the others.
      await first?.catch(() => undefined);
      first = undefined;
      instant.usedAgain(1);
    }
    instant.used(0);
    return await makeCopies(context, origin, options, { ...making, first });
  } catch (error) {
    const copy = await first?.catch(() => undefined);
    if (copy !== undefined) await unmake(context, copy);
    throw error;
  } finally {
    await instant.remove();
    void flattenSoon(context, source);
  }
}

function take(
  context: Context,
  source: Instance,
  options: ForkOptions & MarkedCall,
  place: Pick<TakeOptions, 'dir' | 'foreseen'>,
): Promise<Origin> {
  return context.door.run(
    source,
    {
      action: 'fork',
      deadlineMs: deadlines.fork,
      signal: options.signal,
      onProgress: options.onProgress,
      check: () => {
        if (source.gone) throw new VivError('not_found', `${source.record.name} has been deleted`);
        if (!operationAllowed(source.state, 'fork')) throw invalidState(source, 'fork');
        checkForkOptions(options, source.state.toLowerCase() as ForkState);
        expectSaveable(source, 'fork');
        return undefined;
      },
    },
    (operation) =>
      takeOrigin(context, source, operation, { ...place, durable: false, unsafe: options.unsafeIdentity }),
  );
}
