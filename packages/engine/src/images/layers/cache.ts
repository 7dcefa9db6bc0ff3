import { createHash } from 'node:crypto';
import { access, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { CallOptions } from '@vivarium/model';
import type { CandidateLayer } from '../candidate.ts';
import { digestHex } from '../digest.ts';
import { publish, readIfThere, replaceFile } from '../durable.ts';
import { mayStillCome } from '../lasting.ts';
import { Limit, SharedWork } from '../shared-work.ts';
import { convertLayer, inspectLayer } from './convert.ts';
import type { LowerLayer } from './lower.ts';

/** A converted layer. */
export interface LayerFile extends LowerLayer {
  /** What its file is named by. */
  key: string;
  sizeBytes: number;
}

/** What is known of a layer beside its file. */
interface LayerFacts {
  opaque: string[];
  /** The layer has no file by its own digest, as it differs with the layers below it. */
  standsOnLower?: boolean;
}

const atATime = 3;

/**
 * The converted layers of a store. A layer that is complete in itself is named by its diff id and shared by all images; one
 * that takes attributes or files from the layers below is named by all of them together.
 */
export class LayerCache {
  readonly #dir: string;
  readonly #temporary: string;
  readonly #work = new SharedWork<LayerFile | undefined>();
  readonly #limit = new Limit(atATime);
  /** Layers that a running pull or import counts on. */
  readonly #claims = new Map<string, number>();
  /** Files on their way out: who wants them again waits, and finds them gone. */
  readonly #removals = new Map<string, Promise<number>>();

  constructor(dir: string, temporary: string) {
    this.#dir = dir;
    this.#temporary = temporary;
  }

  file(key: string): string {
    return path.join(this.#dir, `${key}.sqfs`);
  }

  #facts(key: string): string {
    return path.join(this.#dir, `${key}.json`);
  }

  async #find(key: string): Promise<LayerFile | undefined> {
    const file = this.file(key);
    const facts = await readIfThere(this.#facts(key));
    if (!facts) return undefined;
    const size = await stat(file).then(
      (found) => found.size,
      () => undefined,
    );
    return size === undefined
      ? undefined
      : { key, file, sizeBytes: size, opaque: (JSON.parse(facts.toString()) as LayerFacts).opaque };
  }

  /** From here to {@link release} the layer's file stays. */
  #claim(key: string, claimed: string[]): void {
    this.#claims.set(key, (this.#claims.get(key) ?? 0) + 1);
    claimed.push(key);
  }

  release(claimed: readonly string[]): void {
    for (const key of claimed) {
      const left = (this.#claims.get(key) ?? 1) - 1;
      if (left > 0) this.#claims.set(key, left);
      else this.#claims.delete(key);
    }
  }

  /**
   * Brings one layer into the cache.
   *
   * @param lower The layers below; awaited only where this one needs them.
   * @param claimed Gets the keys that {@link release} is to be called with.
   */
  async provide(
    layer: CandidateLayer,
    lower: () => Promise<LayerFile[]>,
    claimed: string[],
    options: CallOptions,
  ): Promise<LayerFile> {
    const own = digestHex(layer.diffId, 'diff id');
    this.#claim(own, claimed);
    const complete = await this.#work.run(own, options, (signal, onProgress) =>
      this.#limit.run(() => this.#make(own, layer, undefined, { signal, onProgress })),
    );
    if (complete) return complete;
    const below = await lower();
    const key = createHash('sha256')
      .update(JSON.stringify([own, ...below.map((each) => each.key)]))
      .digest('hex');
    this.#claim(key, claimed);
    const made = await this.#work.run(key, options, (signal, onProgress) =>
      this.#limit.run(() => this.#make(key, layer, below, { signal, onProgress })),
    );
    return made as LayerFile;
  }

  /** Undefined: the layer needs those below it, and they weren't given. */
  async #make(
    key: string,
    layer: CandidateLayer,
    lower: LayerFile[] | undefined,
    { signal, onProgress }: CallOptions,
  ): Promise<LayerFile | undefined> {
    await this.#removals.get(key);
    const there = await this.#find(key);
    if (there) return there;
    if (!lower && (await this.#knownToNeedLower(key))) return undefined;
    const fetched = await layer.fetch({ signal, onProgress });
    let keep = false;
    try {
      onProgress?.({ stage: 'converting', digest: layer.digest, done: false });
      const scanned = await inspectLayer(fetched.source, signal);
      if (scanned.needsLower && !lower) {
        await replaceFile(
          this.#facts(key),
          JSON.stringify({ opaque: [], standsOnLower: true } satisfies LayerFacts),
        );
        keep = true;
        return undefined;
      }
      const { file, sizeBytes, opaque } = await convertLayer(
        fetched.source,
        scanned,
        lower ?? [],
        this.#temporary,
        signal,
      );
      await this.#publish(key, file, { opaque });
      onProgress?.({ stage: 'converting', digest: layer.digest, done: true });
      return { key, file: this.file(key), sizeBytes, opaque };
    } catch (error) {
      keep = mayStillCome(signal?.aborted ? signal.reason : error);
      throw error;
    } finally {
      await fetched.release(keep);
    }
  }

  async #knownToNeedLower(key: string): Promise<boolean> {
    const facts = await readIfThere(this.#facts(key));
    return facts !== undefined && (JSON.parse(facts.toString()) as LayerFacts).standsOnLower === true;
  }

  /** The facts first: a layer without them doesn't count. */
  async #publish(key: string, file: string, facts: LayerFacts): Promise<void> {
    try {
      await replaceFile(this.#facts(key), JSON.stringify(facts));
      await publish(file, this.file(key));
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
  }

  /** Removes a layer's files unless somebody counts on them. @returns bytes freed. */
  async remove(key: string): Promise<number> {
    if (this.#claims.has(key)) return 0;
    const removing = this.#unlink(key).finally(() => this.#removals.delete(key));
    this.#removals.set(key, removing);
    return removing;
  }

  async #unlink(key: string): Promise<number> {
    const size = await stat(this.file(key)).then(
      (found) => found.size,
      () => 0,
    );
    await rm(this.file(key), { force: true });
    await rm(this.#facts(key), { force: true });
    return size;
  }

  async exists(key: string): Promise<boolean> {
    return access(this.file(key)).then(
      () => true,
      () => false,
    );
  }

  /** Removes every file that no image stands on, markers and half-written ones too. */
  async retain(keys: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      const key = /^([0-9a-f]{64})\.(?:sqfs|json)$/.exec(name)?.[1];
      if (key === undefined || !keys.has(key))
        await rm(path.join(this.#dir, name), { force: true, recursive: true });
    }
  }
}
