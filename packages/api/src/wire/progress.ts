import type { ErrorRecord, Progress } from '@vivarium/model';
import { camelKeys, snakeKeys } from './keys.ts';

/** One line of a long call asked for with `Accept: application/x-ndjson`; empty lines keep the connection alive. */
export type ProgressLine<T = unknown> = { progress: unknown } | { result: T } | { error: ErrorRecord };

export const progressToWire = (progress: Progress): unknown => snakeKeys(progress);

export const progressFromWire = (wire: unknown): Progress => camelKeys(wire) as Progress;
