import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import type { StepHandle } from './checklist.ts';
import { install, refresh, requireApt } from './debian.ts';

/** Something that has to be on the host: a program on the PATH or a file, and the package that has it. */
export interface Requirement {
  package: string;
  program?: string;
  file?: string;
}

/** What running VMs takes. Programs count wherever they come from, so a QEMU of one's own is left alone. */
export const runtimeRequirements: readonly Requirement[] = [
  { program: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { program: 'qemu-img', package: 'qemu-utils' },
  { program: 'tar2sqfs', package: 'squashfs-tools-ng' },
  { program: 'mke2fs', package: 'e2fsprogs' },
  { program: 'lz4', package: 'lz4' },
  { program: 'xz', package: 'xz-utils' },
  { file: '/etc/ssl/certs/ca-certificates.crt', package: 'ca-certificates' },
];

/** Directories that hold mke2fs, also where the user's PATH has none of them. */
const searchPath = (): string[] => [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/sbin'];

async function isThere(requirement: Requirement): Promise<boolean> {
  const files = requirement.file
    ? [requirement.file]
    : searchPath().map((dir) => path.join(dir, requirement.program ?? ''));
  for (const file of files) {
    const found = await access(file, requirement.file ? constants.R_OK : constants.X_OK).then(
      () => true,
      () => false, // Any reason for not being usable is the same to us: the package brings a usable one.
    );
    if (found) return true;
  }
  return false;
}

/** The packages that have to be installed for the requirements to hold. */
export async function missingPackages(requirements: readonly Requirement[]): Promise<string[]> {
  const missing = new Set<string>();
  for (const requirement of requirements) {
    if (!(await isThere(requirement))) missing.add(requirement.package);
  }
  return [...missing];
}

/** Installs packages with apt. @throws SetupError that says what to run where we are not root. */
export async function installPackages(packages: readonly string[], step: StepHandle): Promise<void> {
  await requireApt();
  if (packages.length === 0) return;
  step.note('reading the package lists');
  await refresh({ log: step.log });
  step.note(`${packages.length} to install`);
  await install(packages, { log: step.log });
  step.note(packages.join(' '));
}
