import type { Vm } from '@vivarium/model';
import type { Call } from '../call.ts';

/** The instance that the path names. */
export const find = (call: Call): Promise<Vm> => call.engine.get(call.params.id ?? '');
