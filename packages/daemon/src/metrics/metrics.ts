import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Engine } from '@vivarium/engine';
import { Exposition, Histogram } from './exposition.ts';
import { families } from './families.ts';
import { hostUse } from './host.ts';

/** Milliseconds of a turn that is expected of an idle loop: the monitor's own timer. */
const resolutionMs = 20;

/** Scrapes within as many milliseconds share one look at the processes. */
const freshMs = 1000;

/** What is counted while it happens, and what is looked at when somebody asks. */
export class Metrics implements Disposable {
  readonly #engine: Engine;
  readonly #version: string;
  readonly #operations = new Histogram(families.operations);
  readonly #requests = new Histogram(families.requests);
  readonly #sockets = new Map<string, number>();
  readonly #lag = monitorEventLoopDelay({ resolution: resolutionMs });
  readonly #startedAt = Date.now() / 1000 - process.uptime();
  readonly #off: () => void;
  #eventReaders = 0;
  #text: { promise: Promise<string>; at: number } | undefined;

  constructor(engine: Engine, version: string) {
    this.#engine = engine;
    this.#version = version;
    this.#lag.enable();
    this.#off = engine.operations.onEnd(({ action, state }, milliseconds) =>
      this.#operations.observe([action, state], milliseconds / 1000),
    );
  }

  [Symbol.dispose](): void {
    this.#off();
    this.#lag.disable();
  }

  /** An answer has ended. Seconds. */
  request(route: string, method: string, status: number, seconds: number): void {
    this.#requests.observe([route, method, String(status)], seconds);
  }

  /** A WebSocket is open until this is disposed. */
  socket(route: string): Disposable {
    const count = (by: number) => this.#sockets.set(route, (this.#sockets.get(route) ?? 0) + by);
    count(1);
    return { [Symbol.dispose]: () => void count(-1) };
  }

  /** Somebody reads events until this is disposed. */
  eventReader(): Disposable {
    this.#eventReaders += 1;
    return {
      [Symbol.dispose]: () => {
        this.#eventReaders -= 1;
      },
    };
  }

  /** Everything, as text. No guest is asked. */
  text(): Promise<string> {
    const now = performance.now();
    if (this.#text === undefined || now - this.#text.at > freshMs)
      this.#text = { promise: this.#write(), at: now };
    return this.#text.promise;
  }

  async #write(): Promise<string> {
    const out = new Exposition();
    this.#daemon(out);
    await this.#host(out);
    await this.#instances(out);
    out.histogram(families.operations, this.#operations.all());
    out.add(families.operationsRunning, labelled(this.#engine.operations.running()));
    out.histogram(families.requests, this.#requests.all());
    out.add(families.sockets, labelled(this.#sockets));
    out.one(families.eventReaders, this.#eventReaders);
    out.one(families.eventsStored, this.#engine.storedEvents);
    out.one(families.events, this.#engine.lastEvent);
    await this.#stores(out);
    await this.#pools(out);
    return out.toString();
  }

  #daemon(out: Exposition): void {
    const { user, system } = process.cpuUsage();
    out.add(families.build, [[[this.#version, this.#engine.driver], 1]]);
    out.one(families.started, this.#startedAt);
    out.one(families.daemonCpu, (user + system) / 1e6);
    out.one(families.daemonMemory, process.memoryUsage.rss());
    const late = (nanos: number) => Math.max(0, nanos / 1e9 - resolutionMs / 1000);
    const quantiles = [0.5, 0.9, 0.99].map(
      (q) => [[String(q)], late(this.#lag.percentile(q * 100))] as const,
    );
    out.add(families.lag, [...quantiles, [['1'], this.#lag.count === 0 ? 0 : late(this.#lag.max)]]);
    this.#lag.reset();
  }

  async #host(out: Exposition): Promise<void> {
    const host = await hostUse(this.#engine.home);
    out.add(
      families.hostCpu,
      host.cpu.map(([mode, seconds]) => [[mode], seconds] as const),
    );
    out.one(families.hostProcessors, host.processors);
    out.one(families.hostMemory, host.memoryBytes);
    out.one(families.hostMemoryAvailable, host.availableBytes);
    out.one(families.disk, host.disk.bytes);
    out.one(families.diskAvailable, host.disk.availableBytes);
  }

  async #instances(out: Exposition): Promise<void> {
    const { states, live } = await this.#engine.usage();
    out.add(families.instances, labelled(states));
    out.add(
      families.instanceInfo,
      live.map(({ id, name, state, image }) => [[id, name, state, image], 1] as const),
    );
    const each = (value: (use: (typeof live)[number]) => number | undefined) =>
      live.flatMap((use) => {
        const found = value(use);
        return found === undefined ? [] : [[[use.id, use.name], found] as const];
      });
    out.add(
      families.instanceCpus,
      each(({ cpus }) => cpus),
    );
    out.add(
      families.instanceMemoryAsked,
      each(({ memoryBytes }) => memoryBytes),
    );
    out.add(
      families.instanceCpu,
      each(({ cpuSeconds }) => cpuSeconds),
    );
    out.add(
      families.instanceMemory,
      each(({ residentBytes }) => residentBytes),
    );
    out.add(
      families.instanceDisk,
      each(({ diskBytes }) => diskBytes),
    );
    out.add(
      families.instanceRead,
      each(({ readBytes }) => readBytes),
    );
    out.add(
      families.instanceWritten,
      each(({ writtenBytes }) => writtenBytes),
    );
  }

  async #stores(out: Exposition): Promise<void> {
    const [images, templates, snapshots, volumes] = await Promise.all([
      this.#engine.images.list(),
      this.#engine.templates.list(),
      this.#engine.snapshots.list(),
      this.#engine.volumes.list(),
    ]);
    const bytes = (all: { sizeBytes: number }[]) => all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    out.one(families.images, images.length);
    out.one(families.imageBytes, bytes(images));
    const levels = ['kernel', 'image'] as const;
    const count = (level: string) => templates.filter((template) => template.level === level).length;
    out.add(
      families.templates,
      levels.map((level) => [[level], count(level)] as const),
    );
    out.one(families.templateBytes, bytes(templates));
    out.one(families.snapshots, snapshots.length);
    out.one(families.volumes, volumes.length);
    out.one(
      families.volumeBytes,
      volumes.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
    );
  }

  async #pools(out: Exposition): Promise<void> {
    const pools = await this.#engine.pools.list();
    for (const [family, field] of [
      [families.poolSize, 'size'],
      [families.poolReady, 'ready'],
      [families.poolCreating, 'creating'],
      [families.poolAcquired, 'acquired'],
    ] as const)
      out.add(
        family,
        pools.map((pool) => [[pool.name], pool[field]] as const),
      );
  }
}

function* labelled(counts: ReadonlyMap<string, number>): Generator<readonly [readonly string[], number]> {
  for (const [label, count] of counts) yield [[label], count];
}
