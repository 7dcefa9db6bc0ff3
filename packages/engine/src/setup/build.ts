import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { allOver } from '../all-over.ts';
import type { AssetFile, Assets } from '../host/assets.ts';
import { buildBusyboxImage } from './busybox.ts';
import type { Checklist, StepHandle } from './checklist.ts';
import { buildInitramfs } from './initramfs.ts';
import { provideKernel } from './kernel.ts';
import { fileDigest, prune } from './keyed.ts';

/** What is written in Rust, as it is called where it was built, shipped and copied to. */
export const nativeFiles = { agent: 'viv-agent', shim: 'viv-shim', zygote: 'libviv_zygote.so' } as const;

/** Where all of {@link nativeFiles} are, and which version they are. */
export type NativeBinaries = Record<keyof typeof nativeFiles | 'version', string>;

export function nativeBinaries(dir: string, version: string): NativeBinaries {
  const { agent, shim, zygote } = nativeFiles;
  return {
    agent: path.join(dir, agent),
    shim: path.join(dir, shim),
    zygote: path.join(dir, zygote),
    version,
  };
}

export interface BuildOptions {
  /** `assetsDir()`. */
  dir: string;
  checklist: Checklist;
  /** Title of the step that provides the native programs, and the step. They are inside `dir` where they were built. */
  native: { title: string; provide(step: StepHandle): Promise<NativeBinaries> };
  /** Takes the distribution's newest kernel instead of keeping the one that is there. */
  upgradeKernel?: boolean;
}

/** The name under which the built-in image is found, normalised as Docker would. */
const busyboxReference = 'docker.io/library/busybox:latest';

async function currentKernel(dir: string): Promise<string | undefined> {
  try {
    const assets = JSON.parse(await readFile(path.join(dir, 'assets.json'), 'utf8')) as Assets;
    const kernel = path.dirname(path.resolve(dir, assets.kernel.path));
    await stat(path.join(kernel, 'kernel.json'));
    return kernel;
  } catch (error) {
    // Nothing there, or nothing that can be used: it is built anew.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Builds everything a host needs to start VMs, or what is missing of it, and writes `assets.json` last. Steps that do not
 * need each other run side by side. Whoever calls holds the set-up lock.
 */
export async function buildAssets(options: BuildOptions): Promise<Assets> {
  const { dir, checklist } = options;
  await mkdir(dir, { recursive: true });
  const current = await currentKernel(dir);
  const work = [
    checklist.step('Guest kernel', async (step) => {
      const kernel = await provideKernel(dir, step, { current, upgrade: options.upgradeKernel });
      step.note(kernel.version);
      return kernel;
    }),
    checklist.step(options.native.title, (step) => options.native.provide(step)),
    checklist.step('Image busybox', (step) => buildBusyboxImage(dir, step)),
  ] as const;
  // All come to their end, so that a failure leaves no program running behind it.
  const [kernel, native, busybox] = await allOver(work);
  return await checklist.step('Initramfs', async () => {
    const initramfs = await buildInitramfs(dir, native.agent, kernel);
    const asset = async (file: string): Promise<AssetFile> => ({
      path: path.relative(dir, file).startsWith('..') ? file : path.relative(dir, file),
      digest: await fileDigest(file),
    });
    const assets: Assets = {
      format: 1,
      kernel: { ...(await asset(kernel.vmlinux)), version: kernel.version },
      initramfs: await asset(initramfs),
      agent: { ...(await asset(native.agent)), version: native.version },
      shim: { ...(await asset(native.shim)), version: native.version },
      zygote: { ...(await asset(native.zygote)), version: native.version },
      images: { [busyboxReference]: await asset(busybox.archive) },
    };
    const temporary = path.join(dir, '.tmp-assets.json');
    await writeFile(temporary, `${JSON.stringify(assets, null, 2)}\n`);
    await rename(temporary, path.join(dir, 'assets.json'));
    await prune(dir, [
      kernel.vmlinux,
      initramfs,
      native.agent,
      native.shim,
      native.zygote,
      busybox.archive,
      busybox.program,
    ]);
    return assets;
  });
}
