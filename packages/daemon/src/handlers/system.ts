import { type Capabilities, openApi } from '@vivarium/api';
import { owner } from '../auth/caller.ts';
import type { Handler } from '../call.ts';

export const health: Handler = async ({ house, engine, caller }) => ({
  status: 'ok',
  version: house.version,
  // Anybody may ask this on TCP, and need not know where on the host things are.
  ...(caller === owner ? { pid: process.pid, home: engine.home } : {}),
});

export const capabilities: Handler = async ({ house, engine }): Promise<Capabilities> => {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const { save, volumes } = engine.capabilities();
  const saved = [...(save ? ['standby', 'snapshots', 'fork'] : []), ...(volumes ? ['volumes'] : [])];
  return {
    server: { version: house.version, api_version: '1' },
    host: { os: process.platform, arch },
    default_runtime: { name: engine.driver, available: true },
    runtimes: [
      {
        name: engine.driver,
        available: true,
        features: ['exec', 'logs', 'pause', 'prepare', 'shutdown', ...saved],
      },
    ],
    images: { default_platform: `linux/${arch}`, platforms: [`linux/${arch}`] },
    network: { model: 'nat', guest_to_guest: false },
    features: [
      'instances',
      'images',
      'exec',
      'logs',
      'events',
      'sessions',
      'files',
      'console',
      'tunnel',
      ...saved,
      ...(save ? ['snapshot-schedules'] : []),
    ],
    driver: engine.capabilities(),
  };
};

export const openapi: Handler = async ({ house }) => openApi(house.version);

export const doctor: Handler = async ({ engine }) => engine.doctor();

export const rebuild: Handler = async ({ engine }) => engine.doctor({ rebuild: true });
