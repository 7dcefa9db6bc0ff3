import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { VivError } from '@vivarium/model';

/** A file that set-up has built, with its digest (`sha256:` + hex). */
export interface AssetFile {
  path: string;
  digest: string;
}

/** What set-up builds once per host and every data directory shares. Written last, by rename. */
export interface Assets {
  format: 1;
  /** `vmlinux` ELF out of Debian's cloud kernel; `version` as in `uname -r`. */
  kernel: AssetFile & { version: string };
  /** Holds the agent and the kernel modules it loads. */
  initramfs: AssetFile;
  agent: AssetFile & { version: string };
  shim: AssetFile & { version: string };
  /** Loaded into the QEMU that others are made of: docs/zygote.md. */
  zygote: AssetFile & { version: string };
  /** Images that are there without a registry, by normalised reference: OCI archives. */
  images: Record<string, AssetFile>;
}

/** `.viv` of the checkout this file is in; an installed package has none at that place. */
const checkout = path.resolve(import.meta.dirname, '../../../../.viv');

/** Where set-up puts what it builds: `VIV_ASSETS`, a checkout's `.viv/assets`, or the user's cache. */
export function assetsDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.VIV_ASSETS) return path.resolve(env.VIV_ASSETS);
  if (existsSync(checkout)) return path.join(checkout, 'assets');
  if (process.getuid?.() === 0) return '/var/cache/vivarium/assets';
  return path.join(env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'vivarium', 'assets');
}

/** @throws VivError `assets_missing` where set-up has not been run. Paths in the answer are absolute. */
export async function loadAssets(dir = assetsDir()): Promise<Assets> {
  const file = path.join(dir, 'assets.json');
  let assets: Assets;
  try {
    assets = JSON.parse(await readFile(file, 'utf8')) as Assets;
    if (assets.zygote === undefined) throw new Error('They are of an older version');
  } catch (cause) {
    throw new VivError('assets_missing', `No kernel, agent and initramfs at ${dir}`, {
      hint: 'Run `viv setup`.',
      cause,
    });
  }
  const absolute = <T extends AssetFile>(asset: T): T => ({ ...asset, path: path.resolve(dir, asset.path) });
  return {
    ...assets,
    kernel: absolute(assets.kernel),
    initramfs: absolute(assets.initramfs),
    agent: absolute(assets.agent),
    shim: absolute(assets.shim),
    zygote: absolute(assets.zygote),
    images: Object.fromEntries(Object.entries(assets.images).map(([name, file]) => [name, absolute(file)])),
  };
}
