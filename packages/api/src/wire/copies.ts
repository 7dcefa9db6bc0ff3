import type { ForkOptions, ForkState } from '@vivarium/model';
import type { CopyState, ForkInstances } from '../schemas/copies.ts';
import { present } from './present.ts';

const words: Readonly<Record<ForkState, CopyState>> = {
  running: 'Running',
  paused: 'Paused',
  suspended: 'Standby',
  stopped: 'Stopped',
};
const states = Object.fromEntries(Object.entries(words).map(([state, word]) => [word, state])) as Readonly<
  Record<CopyState, ForkState>
>;

export const copyStateToWire = (state: ForkState): CopyState => words[state];

export const copyStateFromWire = (word: CopyState): ForkState => states[word];

export function forkToWire(options: ForkOptions): ForkInstances {
  return present<ForkInstances>({
    count: options.count,
    name: options.name,
    target_state: options.state && copyStateToWire(options.state),
    tags: options.tags,
    auto_remove: options.autoRemove,
    unsafe_identity: options.unsafeIdentity,
  });
}

export function forkFromWire(body: ForkInstances): ForkOptions {
  return present<ForkOptions>({
    count: body.count,
    name: body.name,
    state: body.target_state && copyStateFromWire(body.target_state),
    tags: body.tags,
    autoRemove: body.auto_remove,
    unsafeIdentity: body.unsafe_identity,
  });
}
