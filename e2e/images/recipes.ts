import { createReadStream, createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { loadAssets } from '../../packages/engine/src/host/assets.ts';
import type { ImageConfig } from '../../packages/engine/src/setup/oci-archive.ts';
import { debianUserland } from './debian.ts';
import { layeredLayers, privilegedProgram } from './layered.ts';
import { compile, hello, needsV2 } from './programs.ts';
import { dir, type TarEntry, text, writeTar } from './tar.ts';

/** How one test image is made: `layers` writes them as tar files into a directory and answers them base first. */
export interface Recipe {
  config: ImageConfig;
  /** Everything that decides the layers' bytes. */
  inputs: unknown;
  layers(into: string): Promise<string[]>;
}

const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

async function busyboxArchive(): Promise<{ path: string; digest: string }> {
  const archive = (await loadAssets()).images['docker.io/library/busybox:latest'];
  if (!archive) throw new Error('Set-up made no image busybox');
  return archive;
}

/** The one layer of the built-in image: by far the largest blob of its archive. */
async function busyboxLayer(into: string): Promise<string> {
  const layer = path.join(into, 'busybox-layer.tar');
  const archive = createReadStream((await busyboxArchive()).path).pipe(extract());
  for await (const entry of archive) {
    if ((entry.header.size ?? 0) > 1_000_000) await pipeline(entry, createWriteStream(layer));
    else entry.resume();
  }
  return layer;
}

async function writeLayers(into: string, layers: readonly TarEntry[][]): Promise<string[]> {
  const files = layers.map((_, index) => path.join(into, `layer-${String(index).padStart(2, '0')}.tar`));
  for (const [index, file] of files.entries()) await writeTar(file, layers[index] ?? []);
  return files;
}

/** An image of nothing but one static program, which is also its entrypoint. */
function programRecipe(name: string, source: string, ...flags: string[]): Recipe {
  return {
    config: { Entrypoint: [`/${name}`] },
    inputs: { source, flags },
    async layers(into) {
      const program = path.join(into, name);
      await compile(source, program, ...flags);
      return await writeLayers(into, [[{ name, body: await readFile(program), mode: 0o755 }]]);
    },
  };
}

function debianRecipe(packages: readonly string[], config: ImageConfig): Recipe {
  return {
    config: { Env: [searchPath], ...config },
    inputs: { packages, version: 1 },
    async layers(into) {
      const userland = path.join(into, 'debian.tar');
      await debianUserland(userland, packages);
      return [userland];
    },
  };
}

const sixtyLayers = (): TarEntry[][] =>
  Array.from({ length: 59 }, (_, index) => {
    const number = String(index + 1);
    return [dir('layers'), text(`layers/${number}`, number), text('layers/last', number)];
  });

const workDirectory: TarEntry[] = [dir('srv'), { ...dir('srv/work'), uid: 1234, gid: 4321 }];

/** The images of the end-to-end tests. */
export const recipes = {
  /** Says "hello from an image"; one layer, nothing else in it. */
  hello: programRecipe('hello', hello),
  /** Says "OK" where the CPU has the instructions of x86-64-v2. */
  v2: programRecipe('v2', needsV2, '-march=x86-64-v2'),
  /** Busybox and eleven layers with everything a layer can express; `/check` says "OK" or what was lost. */
  layered: {
    config: { Cmd: ['/check'], Env: [searchPath] },
    inputs: { program: privilegedProgram, layers: layeredLayers(Buffer.alloc(0)) },
    async layers(into) {
      const program = path.join(into, 'program');
      await compile(privilegedProgram, program);
      return [await busyboxLayer(into), ...(await writeLayers(into, layeredLayers(await readFile(program))))];
    },
  },
  /** Sixty layers: busybox, and 59 that each add `/layers/N` and replace `/layers/last`. */
  sixty: {
    config: { Cmd: ['cat', '/layers/last'], Env: [searchPath] },
    inputs: sixtyLayers(),
    async layers(into) {
      return [await busyboxLayer(into), ...(await writeLayers(into, sixtyLayers()))];
    },
  },
  /** Busybox and a configuration that says everything it can. */
  configured: {
    config: {
      Entrypoint: ['/bin/sh', '-c'],
      Cmd: [
        'trap "echo stopped by USR1; exit 3" USR1; id -u; id -g; pwd; echo "$EARLY $LATE"; while :; do sleep 0.1; done',
      ],
      Env: [searchPath, 'EARLY=image', 'LATE=no'],
      User: '1234:4321',
      WorkingDir: '/srv/work',
      StopSignal: 'SIGUSR1',
      ExposedPorts: { '80/tcp': {} },
      Labels: { purpose: 'test' },
    },
    inputs: workDirectory,
    async layers(into) {
      return [await busyboxLayer(into), ...(await writeLayers(into, [workDirectory]))];
    },
  },
  /** A minimal Debian with bash, ps and a resolver. */
  debian: debianRecipe(['procps'], { Cmd: ['bash'] }),
  /** Debian whose first process is systemd. */
  systemd: debianRecipe(['systemd-sysv', 'dbus'], { Cmd: ['/sbin/init'], StopSignal: 'SIGRTMIN+3' }),
} satisfies Record<string, Recipe>;

export type TestImage = keyof typeof recipes;

/** What a recipe's result depends on; images on busybox follow the one set-up has built. */
export async function recipeInputs(name: TestImage): Promise<unknown> {
  const { config, inputs } = recipes[name];
  const onBusybox = ['layered', 'sixty', 'configured'].includes(name);
  return { config, inputs, busybox: onBusybox ? (await busyboxArchive()).digest : undefined };
}
