import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { output, SetupError } from '../../packages/engine/src/setup/command.ts';
import { candidate, isInstalled } from '../../packages/engine/src/setup/debian.ts';

export interface Toolchain {
  cargo: string;
  /** `rustc --version` in full: part of what a build depends on. */
  version: string;
  /** To be put first on the PATH, so that cargo finds its own rustc. */
  dir: string;
}

const numbers = (version: string): number[] =>
  version
    .split(/[.+~-]/)
    .slice(0, 3)
    .map(Number);

/** True where `version` is at least `minimum`, by major and minor number. */
export function isRecent(version: string, minimum: string): boolean {
  const [have, want] = [numbers(version), numbers(minimum)];
  for (let index = 0; index < 2; index += 1) {
    const difference = (have[index] ?? 0) - (want[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** `rust-version` of native/Cargo.toml. */
export async function requiredRust(root: string): Promise<string> {
  const manifest = await readFile(path.join(root, 'native/Cargo.toml'), 'utf8');
  const version = /^rust-version = "([\d.]+)"/m.exec(manifest)?.[1];
  if (version === undefined) throw new SetupError('native/Cargo.toml names no rust-version');
  return version;
}

/** A toolchain on this host that is recent enough. */
export async function findToolchain(root: string): Promise<Toolchain | undefined> {
  const minimum = await requiredRust(root);
  const dirs = [
    ...(process.env.PATH ?? '').split(path.delimiter),
    path.join(homedir(), '.cargo/bin'),
    '/usr/bin',
  ];
  for (const dir of new Set(dirs)) {
    const names = await readdir(dir).catch((): string[] => []); // A PATH may name directories that do not exist.
    if (!names.includes('cargo') || !names.includes('rustc')) continue;
    // rustup's proxies fail where no default toolchain is set: that is no toolchain.
    const version = await output([path.join(dir, 'rustc'), '--version']).catch(() => '');
    const parsed = /^rustc (\d+\.\d+\.\d+)/.exec(version)?.[1];
    if (parsed && isRecent(parsed, minimum)) return { cargo: path.join(dir, 'cargo'), version, dir };
  }
  return undefined;
}

/** Names under which distributions package Rust, newest first. Debian backports it as `-web` for its browsers. */
const packaged = [
  ['rustc-web', 'cargo-web'],
  ['rustc', 'cargo'],
] as const;

/**
 * The packages that bring a recent enough Rust.
 * @throws SetupError that says how to get one, where the distribution has none or an old one is in the way.
 */
export async function rustPackages(root: string): Promise<string[]> {
  const minimum = await requiredRust(root);
  const rustup = `Install Rust ${minimum} or later from https://rustup.rs, then run ./viv setup again.`;
  for (const names of packaged) {
    const version = await candidate(names[0]);
    if (version === undefined || !isRecent(version, minimum)) continue;
    if (names[0] === 'rustc-web' && (await isInstalled('rustc'))) {
      throw new SetupError(`The Rust on this machine is older than ${minimum}`, {
        exitStatus: 69,
        hint: `Replace it (as root):  apt-get install ${names.join(' ')}\nor leave it. ${rustup}`,
      });
    }
    return [...names];
  }
  throw new SetupError(`No Rust ${minimum} or later here, and the distribution packages none`, {
    exitStatus: 69,
    hint: rustup,
  });
}
