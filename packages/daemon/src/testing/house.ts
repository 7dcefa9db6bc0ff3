import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '@vivarium/client';
import { type Engine, openEngine, SimulatedDriver, SimulatedHost, simulatedParts } from '@vivarium/engine';
import type { Vivarium } from '@vivarium/model';
import { type Daemon, type ServeOptions, serve } from '../serve.ts';

/** A daemon over a simulated engine, in this process, in a directory of its own. */
export interface TestHouse {
  home: string;
  engine: Engine;
  daemon: Daemon;
  viv: Vivarium;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface HouseOptions extends ServeOptions {
  host?: SimulatedHost;
  /** False: every start is a boot. */
  templates?: false;
  /** What the daemon is given instead of the engine itself. */
  behind?: (engine: Engine) => Engine;
}

export async function openHouse(options: HouseOptions = {}): Promise<TestHouse> {
  const home = mkdtempSync(path.join(tmpdir(), 'vivd-'));
  const host = options.host ?? new SimulatedHost();
  const driver = await simulatedParts(new SimulatedDriver(host));
  const engine = await openEngine({ home, mode: 'daemon', driver, templates: options.templates });
  const daemon = await serve(options.behind?.(engine) ?? engine, options);
  const viv = connect({ home, autostart: false });
  const house: TestHouse = {
    home,
    engine,
    daemon,
    viv,
    async [Symbol.asyncDispose]() {
      for await (const { id } of engine.all()) await (await engine.get(id)).delete({ force: true });
      await viv[Symbol.asyncDispose]();
      // A test may have put another one in its place.
      await house.daemon.close();
      await engine.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
  return house;
}
