import type { Vivarium } from '@vivarium/model';
import { connect } from './connect.ts';

export * from '@vivarium/model';
export { type ConnectOptions, connect } from './connect.ts';

let shared: Vivarium | undefined;

function get(): Vivarium {
  shared ??= connect();
  return shared;
}

/** The Vivarium of this user, connected on first use. */
export const viv: Vivarium = {
  get images() {
    return get().images;
  },
  get snapshots() {
    return get().snapshots;
  },
  get templates() {
    return get().templates;
  },
  get pools() {
    return get().pools;
  },
  get resources() {
    return get().resources;
  },
  get tokens() {
    return get().tokens;
  },
  get operations() {
    return get().operations;
  },
  get volumes() {
    return get().volumes;
  },
  create: (options, call) => get().create(options, call),
  run: (image, options, call) => get().run(image, options, call),
  get: (idOrName, options) => get().get(idOrName, options),
  list: (options) => get().list(options),
  all: (options) => get().all(options),
  events: (options) => get().events(options),
  doctor: (options) => get().doctor(options),
  [Symbol.asyncDispose]: async () => {
    await shared?.[Symbol.asyncDispose]();
    shared = undefined;
  },
};

export default viv;
