import { execFile, spawn } from 'node:child_process';
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { VivError } from '@vivarium/model';
import type { TarEntry } from '../tar/entry.ts';
import { whiteoutEntry } from './scan.ts';

/** A converted layer below the one at hand. */
export interface LowerLayer {
  file: string;
  /** Paths of its opaque directories, `''` for the root. */
  opaque: readonly string[];
}

/** Something in the layers below, as it is seen through all of them. */
export interface LowerNode {
  kind: 'directory' | 'file' | 'symlink' | 'other';
  entry: TarEntry;
  /** The layer that shows it. */
  layer: number;
}

const kinds: Readonly<Record<string, LowerNode['kind']>> = {
  dir: 'directory',
  file: 'file',
  slink: 'symlink',
};

/** One line of `rdsquashfs --describe`: `dir "a b" 0755 0 0`, `slink name mode uid gid target`, `nod name mode uid gid c 0 0`. */
function parseLine(
  line: string,
): { type: string; name: string; entry: TarEntry; whiteout: boolean } | undefined {
  const match = /^(\w+) ("(?:[^"\\]|\\.)*"|\S+) 0?([0-7]+) (\d+) (\d+)(?: (.*))?$/.exec(line);
  if (!match) return undefined;
  const [, type = '', quoted = '', mode = '0', uid, gid, rest = ''] = match;
  const unquote = (text: string) => (text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text);
  const entry: TarEntry = {
    ...whiteoutEntry(),
    kind: type === 'dir' ? 'directory' : type === 'slink' ? 'symlink' : 'file',
    linkName: type === 'slink' ? unquote(rest) : '',
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
  };
  return {
    type,
    name: unquote(quoted).replace(/^\/+/, ''),
    entry,
    whiteout: type === 'nod' && rest === 'c 0 0',
  };
}

/** Removes what an upper layer hides at a path and below it. */
function hide(view: Map<string, LowerNode>, name: string, itself: boolean): void {
  if (itself) view.delete(name);
  const below = name === '' ? '' : `${name}/`;
  for (const key of view.keys()) if (key.startsWith(below)) view.delete(key);
}

async function describe(file: string, signal?: AbortSignal): Promise<string[]> {
  const child = spawn('rdsquashfs', ['--describe', file], { stdio: ['ignore', 'pipe', 'pipe'], signal });
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => {
    stderr = (stderr + data).slice(-2048);
  });
  const ended = new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout.setEncoding('latin1') })) lines.push(line);
  const code = await ended;
  if (code !== 0)
    throw new VivError(
      'internal',
      `rdsquashfs could not read the layer ${path.basename(file)}: ${stderr.trim()}`,
    );
  return lines;
}

/** What the layers below show together. Only for layers that cannot do without. */
export async function lowerView(
  layers: readonly LowerLayer[],
  signal?: AbortSignal,
): Promise<Map<string, LowerNode>> {
  const view = new Map<string, LowerNode>();
  for (const [index, layer] of layers.entries()) {
    for (const name of layer.opaque) hide(view, name, false);
    for (const line of await describe(layer.file, signal)) {
      const parsed = parseLine(line);
      if (!parsed) continue;
      const { type, name, entry, whiteout } = parsed;
      const kind = kinds[type] ?? 'other';
      const before = view.get(name);
      if (before && (whiteout || kind !== 'directory' || before.kind !== 'directory')) hide(view, name, true);
      if (!whiteout) view.set(name, { kind, entry, layer: index });
    }
  }
  return view;
}

/** Takes one file out of a layer into a temporary file. @returns its size. */
export async function extractFile(
  layer: string,
  name: string,
  to: string,
  signal?: AbortSignal,
): Promise<number> {
  const output = await open(to, 'wx', 0o600);
  try {
    const child = spawn('rdsquashfs', ['--cat', Buffer.from(name, 'latin1').toString('utf8'), layer], {
      stdio: ['ignore', output.fd, 'ignore'],
      signal,
    });
    const code = await new Promise<number | null>((resolve, reject) =>
      child.once('error', reject).once('close', resolve),
    );
    if (code !== 0)
      throw new VivError(
        'image_invalid',
        `The target of a hard link cannot be read from a lower layer: ${name}`,
      );
  } catch (error) {
    await rm(to, { force: true });
    throw error;
  } finally {
    await output.close();
  }
  return (await stat(to)).size;
}

/** Attributes that a listing leaves out: file capabilities above all. */
export async function readAttributes(layer: string, name: string): Promise<Map<string, string>> {
  const { stdout } = await promisify(execFile)(
    'rdsquashfs',
    ['--xattr', Buffer.from(name, 'latin1').toString('utf8'), layer],
    {
      encoding: 'latin1',
    },
  );
  const attributes = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const match = /^([\w.-]+)=(0x)?(.*)$/.exec(line);
    if (!match?.[1] || match[1].startsWith('trusted.overlay.')) continue;
    const value = match[3] ?? '';
    attributes.set(match[1], match[2] ? Buffer.from(value, 'hex').toString('latin1') : value);
  }
  return attributes;
}
