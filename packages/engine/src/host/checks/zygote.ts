import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { Zygotes } from '../../drivers/qemu/zygotes.ts';
import { loadAssets } from '../assets.ts';
import type { HostCheck } from '../doctor.ts';
import { findQemu } from '../qemu.ts';

const name = 'zygote';

/** Starts one, in a directory of its own, and ends it again: 50 ms. */
export async function checkZygote({
  assets,
  qemuPath,
}: {
  assets: string;
  qemuPath: string | undefined;
}): Promise<HostCheck> {
  const { shim, zygote } = await loadAssets(assets);
  const qemu = await findQemu(qemuPath);
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-zygote-'));
  try {
    await using zygotes = new Zygotes({ shimPath: shim.path, library: zygote.path, dir });
    await zygotes.begin(qemu);
    return { name, status: 'ok', message: 'VMMs can be made of one that stands ready' };
  } catch (error) {
    return {
      name,
      status: 'warning',
      message: VivError.from(error).message,
      hint: 'VMs start as they do with it, 20 ms later, and take 6 MB more each.',
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
