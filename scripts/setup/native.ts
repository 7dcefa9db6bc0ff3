import { copyFile, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type NativeBinaries, nativeBinaries, nativeFiles } from '../../packages/engine/src/setup/build.ts';
import type { StepHandle } from '../../packages/engine/src/setup/checklist.ts';
import { run, SetupError } from '../../packages/engine/src/setup/command.ts';
import { fileDigest, keyed } from '../../packages/engine/src/setup/keyed.ts';
import { findToolchain, requiredRust } from './rust.ts';

/** Linked statically: one runs in any guest, the other on any host. */
const programs = ['viv-agent', 'viv-shim'] as const;
/** Loaded into QEMU, beside the C library that is there. */
const library = 'viv-zygote';
const targets: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'x86_64-unknown-linux-gnu',
  arm64: 'aarch64-unknown-linux-gnu',
};

/** Digest of every file under native/ that a build reads. */
async function sources(dir: string): Promise<[string, string][]> {
  const files = (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('target/') && /(\.rs|Cargo\.(toml|lock)|\.cbor|\.json)$/.test(file))
    .sort();
  return await Promise.all(
    files.map(async (file): Promise<[string, string]> => [file, await fileDigest(path.join(dir, file))]),
  );
}

/** The Rust programs, built where their sources, or the compiler, have changed. */
export async function buildNative(root: string, dir: string, step: StepHandle): Promise<NativeBinaries> {
  const native = path.join(root, 'native');
  const target = targets[process.arch];
  const toolchain = await findToolchain(root);
  if (!target || !toolchain) {
    throw new SetupError(`No Rust ${await requiredRust(root)} or later for ${process.arch}`, {
      exitStatus: 69,
    });
  }
  const version = /^version = "([^"]+)"/m.exec(await readFile(path.join(native, 'Cargo.toml'), 'utf8'))?.[1];
  if (!version) throw new SetupError('native/Cargo.toml names no version');
  const inputs = { sources: await sources(native), rustc: toolchain.version, target };
  const built = await keyed(dir, 'native', inputs, async (into) => {
    const targetDir = path.join(root, '.viv/target');
    const argv = [toolchain.cargo, 'build', '--release', '--locked', '--target', target];
    const build = (packages: readonly string[], flags: string) =>
      run([...argv, ...packages.flatMap((name) => ['--package', name])], {
        cwd: native,
        env: {
          PATH: `${toolchain.dir}${path.delimiter}${process.env.PATH}`,
          CARGO_TARGET_DIR: targetDir,
          RUSTFLAGS: flags,
        },
        log: (chunk) => {
          step.log(chunk);
          const crate = /Compiling (\S+)/.exec(chunk.toString())?.[1];
          if (crate) step.note(`compiling ${crate}`);
        },
      });
    await build(programs, '-C target-feature=+crt-static');
    await build([library], '-C target-feature=-crt-static');
    for (const name of Object.values(nativeFiles))
      await copyFile(path.join(targetDir, target, 'release', name), path.join(into, name));
  });
  step.note(toolchain.version.split(' ').slice(0, 2).join(' '));
  return nativeBinaries(built, version);
}
