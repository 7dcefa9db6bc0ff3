import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openEngine } from '@vivarium/engine';
import { loadAssets } from '../../../packages/engine/src/host/assets.ts';
import { createImageStore } from '../../../packages/engine/src/images/index.ts';
import { RawTemplate } from '../../floor/clone.ts';

export const image = 'docker.io/library/busybox:latest';
export const argv = ['uname', '-a'];

export type Engine = Awaited<ReturnType<typeof openEngine>>;
export type Vm = Awaited<ReturnType<Engine['get']>>;

/** What everything that starts from memory is measured on. */
export interface Ground extends AsyncDisposable {
  engine: Engine;
  /** Its data directory, on the disk that holds the temporary directory. */
  home: string;
  /** An image's template with nothing of ours around it. */
  template: RawTemplate;
  /** Interleaved pairs of each figure. */
  rounds: number;
  /** What a promise is multiplied with: 1, or more where only what has gone badly wrong is looked for. */
  margin: number;
  /** Milliseconds of each kind of start, for the plot. */
  starts: Map<string, number[]>;
}

export async function openGround({ rounds, margin }: Pick<Ground, 'rounds' | 'margin'>): Promise<Ground> {
  await using undo = new AsyncDisposableStack();
  const home = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
  undo.defer(() => rm(home, { recursive: true, force: true }));
  const images = await createImageStore({
    dir: path.join(home, 'images'),
    builtin: (await loadAssets()).images,
  });
  await images.recover();
  const { digest } = await images.ensure(image, 'missing');
  const template = undo.use(await RawTemplate.make(await images.disk(digest)));
  const own = path.join(home, 'ours');
  // Nothing is made beside what is measured.
  const engine = undo.use(await openEngine({ home: own, templates: { backgroundDelayMs: 3_600_000 } }));
  await engine.templates.warm({ image });
  const resources = undo.move();
  return {
    engine,
    home: own,
    template,
    rounds,
    margin,
    starts: new Map(),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Milliseconds from the call to the first byte that the command prints. The VM is gone afterwards. */
export async function startToOutput(
  ground: Ground,
  from: 'image-template' | 'template' | 'cold',
): Promise<number> {
  let seen: string = 'cold';
  const began = performance.now();
  // No image's template has a disk of that size: what is left is the kernel's.
  const disk = from === 'template' ? '11GB' : undefined;
  await using vm = await ground.engine.create({ image, cmd: argv, attach: true, disk });
  await vm.start({
    cold: from === 'cold',
    onProgress: (progress) => {
      if (progress.stage === 'restoring') seen = progress.from;
    },
  });
  const session = await vm.attach();
  for await (const _ of session.output) {
    const took = performance.now() - began;
    if (seen !== from) throw new Error(`It was started from ${seen}, not from ${from}`);
    return took;
  }
  throw new Error('The command printed nothing');
}

/** Of the VMM of an instance, from its shim's record. */
export async function vmmPid(ground: Ground, vm: Vm): Promise<number> {
  return (await shimRecord(ground, vm)).vmm.pid;
}

export async function shimPid(ground: Ground, vm: Vm): Promise<number> {
  return (await shimRecord(ground, vm)).shim.pid;
}

async function shimRecord({ home }: Ground, vm: Vm): Promise<Record<'vmm' | 'shim', { pid: number }>> {
  const text = await readFile(path.join(home, 'instances', vm.id, 'shim.json'), 'utf8');
  return JSON.parse(text) as Record<'vmm' | 'shim', { pid: number }>;
}
