import type { Image } from '@vivarium/api';
import type { Engine } from '@vivarium/engine';
import { type ImageInfo, type Progress, VivError } from '@vivarium/model';

interface Pull {
  readonly name: string;
  readonly since: string;
  status: Image['status'];
  /** It brings tags: until they are there the image is not what was asked for, even where it is in the store. */
  readonly labels: boolean;
  digest: string;
  error?: VivError;
  readonly done: Promise<ImageInfo>;
}

/** A failed pull is told for so long, or until the next try. */
const failedMs = 10 * 60_000;

/** Pulls that nobody waits for on a connection: hypeman's `POST /images` answers at once and is asked again later. */
export class Pulls {
  readonly #engine: Engine;
  readonly #pulls = new Map<string, Pull>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Begins one, or joins the one under way. */
  start(reference: string, options: { insecure?: boolean; tags?: Record<string, string> } = {}): Pull {
    const name = normalise(reference);
    const known = this.#pulls.get(name);
    // Tags are this caller's own; what is fetched is shared all the same.
    if (known !== undefined && known.status !== 'failed' && options.tags === undefined) return known;
    const onProgress = (progress: Progress) => this.#follow(pull, progress);
    const done = Promise.resolve(this.#engine.images.pull(reference, { ...options, onProgress }));
    const pull: Pull = {
      name,
      since: new Date().toISOString(),
      status: 'pending',
      labels: options.tags !== undefined,
      digest: '',
      done,
    };
    this.#pulls.set(name, pull);
    done.then(
      () => this.#forget(pull),
      (error) => {
        pull.status = 'failed';
        pull.error = VivError.from(error);
        setTimeout(() => this.#forget(pull), failedMs).unref();
      },
    );
    return pull;
  }

  /** Under way or failed, not what is in the store. */
  find(reference: string): Image | undefined {
    const pull = this.#pulls.get(normalise(reference));
    return pull && pullToWire(pull);
  }

  /** Under way, and with tags to come. */
  labelling(reference: string): Image | undefined {
    const pull = this.#pulls.get(normalise(reference));
    return pull?.labels && pull.status !== 'failed' ? pullToWire(pull) : undefined;
  }

  list(): Image[] {
    return [...this.#pulls.values()].map(pullToWire);
  }

  forget(reference: string): void {
    const pull = this.#pulls.get(normalise(reference));
    if (pull?.status === 'failed') this.#forget(pull);
  }

  #forget(pull: Pull): void {
    if (this.#pulls.get(pull.name) === pull) this.#pulls.delete(pull.name);
  }

  #follow(pull: Pull, progress: Progress): void {
    if (progress.stage === 'converting') pull.status = 'converting';
    else if (progress.stage === 'resolving' || progress.stage === 'layer') pull.status = 'pulling';
    if (progress.stage === 'image-ready') pull.digest = progress.digest;
  }
}

export function pullToWire(pull: Pull): Image {
  return {
    name: pull.name,
    digest: pull.digest,
    status: pull.status,
    error: pull.error?.message ?? null,
    queue_position: null,
    created_at: pull.since,
    size_bytes: null,
  };
}

/** Docker's rules, as far as they are needed to recognise one pull by two spellings. */
function normalise(reference: string): string {
  const [first = '', ...rest] = reference.split('/');
  const host = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : undefined;
  const name =
    host === undefined ? `docker.io/${rest.length === 0 ? 'library/' : ''}${reference}` : reference;
  return /(:[^/]*|@.*)$/.test(name.slice(name.lastIndexOf('/'))) ? name : `${name}:latest`;
}
