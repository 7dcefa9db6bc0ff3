import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/* The version is the root package.json's. Everything else that has to repeat it is compared with it. */

const root = path.resolve(import.meta.dirname, '..');

interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
}

async function readManifest(file: string): Promise<Manifest> {
  return JSON.parse(await readFile(path.join(root, file), 'utf8')) as Manifest;
}

const { version } = await readManifest('package.json');
const wrong: string[] = [];

for (const file of globSync(
  ['packages/*/package.json', 'e2e/package.json', 'bench/package.json', 'examples/package.json'],
  {
    cwd: root,
  },
)) {
  const manifest = await readManifest(file);
  if (manifest.version !== version) wrong.push(`${file}: version ${manifest.version}`);
  for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
    if (name.startsWith('@vivarium/') && range !== version) wrong.push(`${file}: ${name} ${range}`);
    // What anybody may install: any version that is compatible.
    if (name === 'vivarium' && range !== `^${version}`) wrong.push(`${file}: ${name} ${range}`);
  }
}
const cargo = await readFile(path.join(root, 'native/Cargo.toml'), 'utf8');
const native = /\[workspace\.package\][^[]*?^version = "([^"]+)"/m.exec(cargo)?.[1];
if (native !== version) wrong.push(`native/Cargo.toml: version ${native}`);

for (const line of wrong) process.stdout.write(`${line}, but package.json says ${version}\n`);
process.exitCode = wrong.length > 0 ? 1 : 0;
