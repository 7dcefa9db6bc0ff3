import { randomFillSync } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Bytes: some dozens of operations with their events. */
const reserveBytes = 1024 * 1024;
/** Milliseconds between tries to have it again. */
const againMs = 30_000;

/** Room on the disk, kept by a file of that size. */
export interface Reserve extends Disposable {
  /** Gives the room up to whoever writes next. False where there is none (any more). */
  giveUp(): boolean;
}

/** A reserve that is none. */
export const noReserve: Reserve = { giveUp: () => false, [Symbol.dispose]: () => undefined };

/**
 * Keeps some room in a data directory, so that on a full disk VMs can still be stopped and deleted: both have to be written
 * down first, and a delete is what makes room. Once given up it is made again as soon as there is room for it.
 */
export function keepReserve(home: string, { bytes = reserveBytes, everyMs = againMs } = {}): Reserve {
  const file = path.join(home, 'reserve');
  let again: NodeJS.Timeout | undefined;
  const make = (): void => {
    // Bytes that no file system compresses to nothing.
    if (!existsSync(file)) writeFileSync(file, randomFillSync(Buffer.alloc(bytes)), { mode: 0o600 });
    clearInterval(again);
  };
  const tryToMake = (): void => {
    try {
      make();
    } catch {
      // What there is no room for is not kept; half of it would only be in the way of whoever frees some.
      rmSync(file, { force: true });
    }
  };
  tryToMake();
  return {
    giveUp() {
      if (!existsSync(file)) return false;
      rmSync(file);
      clearInterval(again);
      again = setInterval(tryToMake, everyMs).unref();
      return true;
    },
    [Symbol.dispose]: () => clearInterval(again),
  };
}
