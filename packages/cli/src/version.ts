import { readFileSync } from 'node:fs';

/** The version of this package, from its own package.json: the same in a checkout and installed. */
export function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
