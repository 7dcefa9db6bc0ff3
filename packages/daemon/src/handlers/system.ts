import { type Capabilities, featuresWith, hostArchitecture, hostPlatform, openApi } from '@vivarium/api';
import { owner } from '../auth/caller.ts';
import type { Handler } from '../call.ts';

export const health: Handler = async ({ house, engine, caller }) => ({
  status: 'ok',
  version: house.version,
  // Anybody may ask this on TCP, and need not know where on the host things are.
  ...(caller === owner
    ? { pid: process.pid, home: engine.home, ...(house.url === undefined ? {} : { url: house.url }) }
    : {}),
});

export const capabilities: Handler = async ({ house, engine }): Promise<Capabilities> => {
  const driver = engine.capabilities();
  const features = featuresWith(driver);
  return {
    server: { version: house.version, api_version: '1' },
    host: { os: process.platform, arch: hostArchitecture },
    default_runtime: { name: engine.driver, available: true },
    runtimes: [
      {
        name: engine.driver,
        available: true,
        features: [
          ...features.filter((feature) => ofRuntime.has(feature)),
          ...(driver.diskGrowLive ? ['disk-resize'] : []),
        ],
      },
    ],
    images: { default_platform: hostPlatform, platforms: [hostPlatform] },
    network: { model: 'nat', guest_to_guest: false },
    features,
    driver,
  };
};

/** What depends on who runs the VMs; hypeman's word for that is a runtime. */
const ofRuntime: ReadonlySet<string> = new Set([
  'exec',
  'logs',
  'pause',
  'prepare',
  'shutdown',
  'standby',
  'snapshots',
  'fork',
  'volumes',
]);

export const openapi: Handler = async ({ house }) => openApi(house.version);

export const doctor: Handler = async ({ engine }) => engine.doctor();

export const rebuild: Handler = async ({ engine }) => engine.doctor({ rebuild: true });
