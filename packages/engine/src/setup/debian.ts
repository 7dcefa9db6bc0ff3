import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { output, type RunOptions, run, SetupError, succeeds } from './command.ts';

/** Keeps apt and dpkg from asking anything and from translating what we read. */
const quiet: NodeJS.ProcessEnv = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };

/** `argv` so that it runs as root without asking anything, or undefined where we may not. */
export async function asRoot(argv: readonly string[]): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return [...argv];
  if (await succeeds(['sudo', '-n', 'true'])) {
    return ['sudo', '-n', ...Object.entries(quiet).map(([key, value]) => `${key}=${value}`), ...argv];
  }
  return undefined;
}

/** @throws SetupError where this is no Debian or one of its children. */
export async function requireApt(): Promise<void> {
  if ((await succeeds(['apt-get', '--version'])) && (await succeeds(['dpkg', '--version']))) return;
  throw new SetupError(
    'Set-up needs apt and dpkg: it takes QEMU, the kernel and busybox from Debian or Ubuntu',
    {
      exitStatus: 69,
      hint: 'Run it on Debian 12 or later, on Ubuntu 24.04 or later, or in a container of one of them.',
    },
  );
}

/** Version that apt would install; undefined where it knows no such package. */
export async function candidate(name: string): Promise<string | undefined> {
  const policy = await output(['apt-cache', 'policy', name], { env: quiet });
  const version = /Candidate: (\S+)/.exec(policy)?.[1];
  return version === '(none)' ? undefined : version;
}

export async function isInstalled(name: string): Promise<boolean> {
  if (!(await succeeds(['dpkg-query', '--status', name]))) return false;
  return /^Status: install ok installed$/m.test(
    await output(['dpkg-query', '--status', name], { env: quiet }),
  );
}

/** Refreshes apt's lists where we may; where not, what is there has to do. */
export async function refresh(options: RunOptions): Promise<void> {
  const argv = await asRoot(['apt-get', 'update', '--quiet']);
  if (argv) await run(argv, { ...options, env: quiet });
}

/** Installs packages. @throws SetupError with the command to run where we may not. */
export async function install(packages: readonly string[], options: RunOptions): Promise<void> {
  const command = ['apt-get', 'install', '--yes', '--quiet', '--no-install-recommends', ...packages];
  const argv = await asRoot(command);
  if (!argv) {
    const sudo = (await succeeds(['sudo', '--version'])) ? 'sudo ' : '';
    throw new SetupError(`Packages are missing (${packages.join(', ')}), and only root can install them`, {
      exitStatus: 69,
      hint: `Run${sudo ? '' : ' as root'}:  ${sudo}apt-get update && ${sudo}apt-get install --no-install-recommends ${packages.join(' ')}`,
    });
  }
  await run(argv, { ...options, env: quiet });
}

/** The packages a package depends on, first alternatives only. */
export async function dependsOn(name: string): Promise<string[]> {
  const text = await output(['apt-cache', 'depends', '--no-recommends', '--no-suggests', name], {
    env: quiet,
  });
  return [...text.matchAll(/^ {2}Depends: (\S+)$/gm)].map(([, dependency]) => String(dependency));
}

/**
 * Downloads a package and unpacks it into `into`: nothing is installed, no root is needed, and apt has checked the
 * signature of what it downloaded. Answers the package's version.
 */
export async function unpack(name: string, into: string, options: RunOptions): Promise<string> {
  const before = new Set(await readdir(into));
  // The default sandbox user may not be allowed to write here; downloading as ourselves avoids a warning.
  await run(['apt-get', '--quiet', '-o', 'APT::Sandbox::User=root', 'download', name], {
    ...options,
    cwd: into,
    env: quiet,
  });
  const archive = (await readdir(into)).find((entry) => entry.endsWith('.deb') && !before.has(entry));
  if (!archive) throw new SetupError(`apt-get downloaded nothing for ${name}`);
  const file = path.join(into, archive);
  const version = await output(['dpkg-deb', '--field', file, 'Version'], options);
  await run(['dpkg-deb', '--extract', file, into], options);
  return version;
}
