import { chmod, copyFile, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { loadAssets } from '../packages/engine/src/host/assets.ts';
import { nativeFiles } from '../packages/engine/src/setup/build.ts';
import { run } from '../packages/engine/src/setup/command.ts';
import { systemPath } from './setup/system-path.ts';

/*
 * Makes what is published: per package JavaScript and declarations instead of TypeScript (Node strips no types under
 * node_modules), a package.json that points at them, the native programs inside the engine, and a tarball of each. Prints the
 * tarballs' paths, one a line. They lie in .viv/pack.
 */

const root = path.resolve(import.meta.dirname, '..');
const out = path.join(root, '.viv/pack');
const emitted = path.join(out, 'emitted');

interface Manifest {
  name: string;
  exports: Record<string, string>;
  bin?: Record<string, string>;
  [field: string]: unknown;
}

/** One run of the compiler for all packages: they import each other's sources through the workspace. */
async function emit(): Promise<void> {
  const configuration = {
    extends: path.join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      rootDir: path.join(root, 'packages'),
      outDir: emitted,
    },
    include: [path.join(root, 'packages/*/src')],
    // What only tests use is no part of what is published.
    exclude: ['*.test.ts', 'testing/**', 'fixtures/**'].map((name) => path.join(root, 'packages/**', name)),
  };
  const file = path.join(out, 'tsconfig.json');
  await writeFile(file, JSON.stringify(configuration));
  await run([path.join(root, 'node_modules/.bin/tsc'), '--project', file], {
    log: (chunk) => process.stderr.write(chunk),
  });
}

/** The compiler rewrites `.ts` in imports of the JavaScript, but leaves declarations as they are. */
async function finishEmitted(dist: string): Promise<void> {
  for (const name of await readdir(dist, { recursive: true })) {
    const file = path.join(dist, name);
    if (name.endsWith('.d.ts')) {
      const source = await readFile(file, 'utf8');
      await writeFile(
        file,
        source.replaceAll(/((?:from|import\()\s*['"]\.{1,2}\/[^'"]*)\.ts(['"])/g, '$1.js$2'),
      );
    } else if (name.endsWith('.js')) {
      // A path of a source in a string would break only once it is installed somewhere.
      const left = /['"`]\.{1,2}\/[^'"`\s]*\.ts['"`]/.exec(await readFile(file, 'utf8'));
      if (left) throw new Error(`${path.relative(out, file)} still refers to ${left[0]}`);
    }
  }
}

const built = (source: string): string => source.replace(/^\.\/src\//, './dist/').replace(/\.ts$/, '.js');

function publishedManifest(manifest: Manifest): Manifest {
  const exports = Object.entries(manifest.exports).map(([name, source]) => [
    name,
    { types: built(source).replace(/\.js$/, '.d.ts'), default: built(source) },
  ]);
  const bin = Object.entries(manifest.bin ?? {}).map(([name, source]) => [name, built(source)]);
  return {
    ...manifest,
    exports: Object.fromEntries(exports) as Manifest['exports'],
    ...(bin.length > 0 ? { bin: Object.fromEntries(bin) as Record<string, string> } : {}),
    files: ['dist', 'native'],
  };
}

async function addNative(staged: string): Promise<void> {
  const assets = await loadAssets();
  const dir = path.join(staged, 'native', process.arch);
  await mkdir(dir, { recursive: true });
  for (const [name, asset] of [
    [nativeFiles.agent, assets.agent],
    [nativeFiles.shim, assets.shim],
    [nativeFiles.zygote, assets.zygote],
  ] as const) {
    await copyFile(asset.path, path.join(dir, name));
    await chmod(path.join(dir, name), 0o755);
  }
}

/** Of what is no TypeScript: what tests use stays here. */
const isPublished = (file: string): boolean =>
  !file.endsWith('.ts') && !/\/(testing|fixtures)(\/|$)/.test(file);

async function pack(name: string): Promise<string> {
  const source = path.join(root, 'packages', name);
  const staged = path.join(out, name);
  const dist = path.join(staged, 'dist');
  await mkdir(staged);
  await rename(path.join(emitted, name, 'src'), dist);
  // What is no TypeScript but lies among it is read at run time: SQL, completions, pages.
  await cp(path.join(source, 'src'), dist, { recursive: true, filter: isPublished });
  await finishEmitted(dist);
  const manifest = publishedManifest(
    JSON.parse(await readFile(path.join(source, 'package.json'), 'utf8')) as Manifest,
  );
  for (const file of Object.values(manifest.bin ?? {})) await chmod(path.join(staged, file), 0o755);
  await writeFile(path.join(staged, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await copyFile(path.join(root, 'LICENSE'), path.join(staged, 'LICENSE'));
  if (name === 'engine') await addNative(staged);
  const printed = await run(['npm', 'pack', '--json', '--pack-destination', out], {
    cwd: staged,
    env: systemPath(),
  });
  const [tarball] = JSON.parse(printed.toString()) as { filename: string }[];
  if (!tarball) throw new Error(`npm pack said nothing about ${name}`);
  return path.join(out, tarball.filename);
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await emit();
const packages = (await readdir(path.join(root, 'packages'))).sort();
for (const name of packages) process.stdout.write(`${await pack(name)}\n`);
await rm(emitted, { recursive: true });
