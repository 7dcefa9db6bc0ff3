import { existsSync } from 'node:fs';
import { mkdir, rename, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Checklist } from '../../packages/engine/src/setup/checklist.ts';
import { run, SetupError } from '../../packages/engine/src/setup/command.ts';
import { refresh } from '../../packages/engine/src/setup/debian.ts';
import { underLock } from '../../packages/engine/src/setup/lock.ts';
import {
  installPackages,
  missingPackages,
  type Requirement,
  runtimeRequirements,
} from '../../packages/engine/src/setup/packages.ts';
import { isInstalledAsLocked } from './npm.ts';
import { findToolchain, rustPackages } from './rust.ts';
import { systemPath } from './system-path.ts';

/*
 * Set-up of a checkout, run by ./viv with the Node in .viv/node. Until the npm step is done nothing here may import
 * a package, which is why set-up's own modules are imported by path, and what builds the assets only later.
 */

const root = path.resolve(import.meta.dirname, '../..');
const home = path.join(root, '.viv');
const assets = process.env.VIV_ASSETS ?? path.join(home, 'assets');

const buildRequirements: readonly Requirement[] = [
  { program: 'cc', package: 'gcc' },
  { file: '/usr/include/stdlib.h', package: 'libc6-dev' },
];

const testRequirements: readonly Requirement[] = [
  { program: 'docker-registry', package: 'docker-registry' },
  { program: 'skopeo', package: 'skopeo' },
  { program: 'mmdebstrap', package: 'mmdebstrap' },
  { program: 'unsquashfs', package: 'squashfs-tools' },
];

async function planPackages(tests: boolean): Promise<string[]> {
  const requirements = [...runtimeRequirements, ...buildRequirements, ...(tests ? testRequirements : [])];
  const packages = await missingPackages(requirements);
  if (await findToolchain(root)) return packages;
  try {
    return [...packages, ...(await rustPackages(root))];
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    // A fresh machine has no package lists yet; with them the second answer is final.
    await refresh({});
    return [...packages, ...(await rustPackages(root))];
  }
}

/** Says what is going to be installed and where, before anything is. */
function announce(checklist: Checklist, packages: readonly string[], npm: boolean): void {
  const where = path.relative(process.cwd(), home) || '.';
  const first = !existsSync(path.join(assets, 'assets.json'));
  checklist.say(
    first
      ? `Setting up Vivarium, once; everything but Debian packages and node_modules goes to ${where}`
      : `Bringing Vivarium's set-up in ${where} up to date`,
  );
  if (packages.length > 0) checklist.say(`  apt-get install: ${packages.join(' ')}`);
  if (npm) checklist.say('  npm packages of this workspace, into node_modules');
  if (first) {
    checklist.say("  a Linux kernel and busybox, out of the distribution's packages without installing them");
    checklist.say('  guest agent and shim, built from native/ with cargo');
  }
}

async function setUp(tests: boolean, upgradeKernel: boolean, checklist: Checklist): Promise<void> {
  const startedAt = new Date();
  const packages = await planPackages(tests);
  const npm = !(await isInstalledAsLocked(root));
  announce(checklist, packages, npm);
  await checklist.step('System packages', (step) => installPackages(packages, step));
  await checklist.step('npm packages', async (step) => {
    if (!npm) return;
    await run(['npm', 'ci', '--no-audit', '--no-fund'], {
      cwd: root,
      env: systemPath(),
      log: step.log,
    });
  });
  const { buildAssets } = await import('../../packages/engine/src/setup/build.ts');
  const { buildNative } = await import('./native.ts');
  const native = {
    title: 'Guest agent and shim',
    provide: (step: Parameters<typeof buildNative>[2]) => buildNative(root, assets, step),
  };
  await buildAssets({ dir: assets, checklist, native, upgradeKernel });
  // Dated at the beginning: a source that was changed meanwhile is newer.
  const stamp = path.join(home, 'tmp/stamp');
  await writeFile(stamp, '');
  await utimes(stamp, startedAt, startedAt);
  await rename(stamp, path.join(home, 'stamp'));
}

process.once('SIGINT', () => {
  process.stderr.write('\nInterrupted. What is done is kept; ./viv goes on from there.\n');
  process.exit(130);
});

await mkdir(path.join(home, 'tmp'), { recursive: true });
try {
  await underLock(
    path.join(home, 'setup.lock'),
    () => process.stderr.write('Another set-up of this checkout is running; waiting for it …\n'),
    async () => {
      const checklist = new Checklist(path.join(home, 'setup.log'));
      try {
        await setUp(process.argv.includes('--tests'), process.argv.includes('--upgrade'), checklist);
      } finally {
        await checklist.close();
      }
    },
  );
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nviv: ${error.message}\n${error.hint ? `\n${error.hint}\n` : ''}`);
  process.exitCode = error.exitStatus;
}
