import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { extractVmlinux } from './bzimage.ts';
import type { StepHandle } from './checklist.ts';
import { SetupError } from './command.ts';
import { candidate, dependsOn, refresh, unpack } from './debian.ts';
import { inputsDigest, keyed } from './keyed.ts';
import { moduleClosure, wantedModules } from './modules.ts';

/** What is made out of a kernel package; the number is raised when that changes. */
const recipe = inputsDigest({ version: 1, wantedModules });

/** Small kernels for virtual machines, by what the distributions call them. */
const metaPackages = ['linux-image-cloud-amd64', 'linux-image-virtual', 'linux-image-generic'] as const;

interface Manifest {
  recipe: string;
  version: string;
  packages: readonly string[];
  modules: string[];
}

export interface Kernel {
  /** As in `uname -r`. */
  version: string;
  vmlinux: string;
  /** Name and file of the modules to load, dependencies first. */
  modules: { name: string; file: string }[];
}

/** The kernel package the distribution's meta package stands for, with the package that has its modules (Ubuntu splits them). */
async function kernelPackages(): Promise<{ names: string[]; version: string }> {
  if (process.arch !== 'x64') {
    throw new SetupError(`Vivarium has no kernel for ${process.arch} hosts yet; it runs on x86-64`, {
      exitStatus: 69,
    });
  }
  for (const meta of metaPackages) {
    const version = await candidate(meta);
    if (version === undefined) continue;
    const image = (await dependsOn(meta)).find((name) => /^linux-image-\d/.test(name));
    if (image === undefined) continue;
    const modules = (await dependsOn(image)).filter((name) => /^linux-modules-\d/.test(name));
    return { names: [image, ...modules], version };
  }
  throw new SetupError(`apt knows none of ${metaPackages.join(', ')}`, {
    exitStatus: 69,
    hint: 'Run `apt-get update` as root, or enable the main section of your distribution, then try again.',
  });
}

async function resolvePackages(step: StepHandle): ReturnType<typeof kernelPackages> {
  try {
    return await kernelPackages();
  } catch (error) {
    if (process.arch !== 'x64') throw error;
    // A fresh container has no package lists; with them the second answer is final.
    await refresh({ log: step.log });
    return await kernelPackages();
  }
}

async function onlyEntry(dir: string, pattern: RegExp): Promise<string> {
  const name = (await readdir(dir)).find((entry) => pattern.test(entry));
  if (name === undefined)
    throw new SetupError(`The kernel package has nothing like ${pattern} in ${path.basename(dir)}`);
  return path.join(dir, name);
}

async function buildKernel(names: readonly string[], into: string, step: StepHandle): Promise<void> {
  const unpacked = path.join(into, 'unpacked');
  await mkdir(unpacked);
  for (const name of names) {
    step.note(`downloading ${name}`);
    await unpack(name, unpacked, { log: step.log });
  }
  step.note('extracting the kernel and its modules');
  const image = await onlyEntry(path.join(unpacked, 'boot'), /^vmlinuz-/);
  const version = path.basename(image).slice('vmlinuz-'.length);
  await writeFile(path.join(into, 'vmlinux'), await extractVmlinux(await readFile(image)));
  const tree = (await readdir(unpacked)).includes('lib') ? 'lib/modules' : 'usr/lib/modules';
  const closure = await moduleClosure(path.join(unpacked, tree, version), wantedModules);
  await mkdir(path.join(into, 'modules'));
  for (const module of closure) await writeFile(path.join(into, 'modules', `${module.name}.ko`), module.data);
  const manifest: Manifest = { recipe, version, packages: names, modules: closure.map(({ name }) => name) };
  await writeFile(path.join(into, 'kernel.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await rm(unpacked, { recursive: true });
}

async function readKernel(dir: string): Promise<Kernel & { recipe: string }> {
  const manifest = JSON.parse(await readFile(path.join(dir, 'kernel.json'), 'utf8')) as Manifest;
  return {
    recipe: manifest.recipe,
    version: manifest.version,
    vmlinux: path.join(dir, 'vmlinux'),
    modules: manifest.modules.map((name) => ({ name, file: path.join(dir, 'modules', `${name}.ko`) })),
  };
}

/**
 * The guest kernel and its modules, out of the distribution's package, which is unpacked but not installed.
 * @param current Directory of the kernel in use; it is kept unless `upgrade` asks for the newest one, because a new kernel
 *   makes every template be built anew.
 */
export async function provideKernel(
  dir: string,
  step: StepHandle,
  options: { current?: string; upgrade?: boolean } = {},
): Promise<Kernel> {
  if (options.current !== undefined && !options.upgrade) {
    const kernel = await readKernel(options.current);
    if (kernel.recipe === recipe) return kernel;
  }
  const { names, version } = await resolvePackages(step);
  const inputs = { recipe, names, version };
  return await readKernel(await keyed(dir, 'kernel', inputs, (into) => buildKernel(names, into, step)));
}
