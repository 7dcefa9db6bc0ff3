import path from 'node:path';
import { assetsDir } from '../host/assets.ts';
import { buildAssets } from './build.ts';
import { Checklist } from './checklist.ts';
import { SetupError } from './command.ts';
import { underLock } from './lock.ts';
import { shippedBinaries } from './native.ts';
import { installPackages, missingPackages, runtimeRequirements } from './packages.ts';

/**
 * Set-up of an installed package (`viv setup` outside a checkout): packages of the distribution where they are missing, then
 * kernel, initramfs and images in `dir`. Does little when nothing is missing.
 * @throws SetupError with a message and a hint for the person at the terminal.
 */
export async function setUp(options: { dir?: string; upgradeKernel?: boolean } = {}): Promise<void> {
  const dir = options.dir ?? assetsDir();
  const checklist = new Checklist(path.join(dir, 'setup.log'));
  try {
    const work = async (): Promise<void> => {
      const missing = await missingPackages(runtimeRequirements);
      checklist.say(`Setting up Vivarium in ${dir}`);
      if (missing.length > 0) checklist.say(`It installs with apt-get: ${missing.join(' ')}`);
      await checklist.step('System packages', (step) => installPackages(missing, step));
      const native = { title: 'Guest agent and shim', provide: () => shippedBinaries(dir) };
      await buildAssets({ dir, checklist, native, upgradeKernel: options.upgradeKernel });
    };
    await underLock(
      path.join(dir, 'setup.lock'),
      () => checklist.say('Another set-up is running; waiting for it …'),
      work,
    );
  } finally {
    await checklist.close();
  }
}

if (import.meta.main) {
  try {
    await setUp({ upgradeKernel: process.argv.includes('--upgrade') });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`viv: ${error.message}\n${error.hint ? `\n${error.hint}\n` : ''}`);
    process.exitCode = error.exitStatus;
  }
}
