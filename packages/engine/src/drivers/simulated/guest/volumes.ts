import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import type { DiskSpec } from '../../driver.ts';
import { type FileNode, type FileTree, makeNode, Refusal } from './file-tree.ts';

/** A volume as it is mounted: what of it has to be in the memory of the guest. */
export interface MountedVolume {
  serial: string;
  path: string;
  mode: 'rw' | 'ro' | 'overlay';
  layer: string;
  target: string;
}

/**
 * What is in a volume is a file at the path of its disk, written when the guest lets go of it, syncs or stands still for a save. One that
 * its maker left is no content.
 */
function load({ path }: DiskSpec): FileNode {
  if (!existsSync(path)) return makeNode('directory', 0o755);
  return deserialize(readFileSync(path)) as FileNode;
}

function store({ path }: DiskSpec, root: FileNode): void {
  writeFileSync(`${path}.new`, serialize(root));
  renameSync(`${path}.new`, path);
}

/** The volumes of one simulated guest. */
export class GuestVolumes {
  readonly #disks: ReadonlyMap<string, DiskSpec>;
  readonly #tree: (target: string) => FileTree;
  readonly #mounted = new Map<string, { volume: MountedVolume; disk: DiskSpec; root: FileNode }>();
  /** What the kernel has let go of: it finds none of that again before it has been out. */
  readonly #released = new WeakSet<DiskSpec>();

  constructor(disks: ReadonlyMap<string, DiskSpec>, tree: (target: string) => FileTree) {
    this.#disks = disks;
    this.#tree = tree;
  }

  list(): MountedVolume[] {
    return [...this.#mounted.values()].map(({ volume }) => volume);
  }

  mount(volume: MountedVolume): void {
    const there = this.#mounted.get(volume.serial);
    if (there?.volume.path === volume.path && there.volume.mode === volume.mode) return;
    if (there !== undefined)
      throw new Refusal('conflict', `the volume is mounted at ${there.volume.path} already`);
    const disk = this.#disks.get(volume.serial);
    if (disk === undefined || this.#released.has(disk))
      throw new Refusal('guest_error', `a volume with the serial number ${volume.serial} did not appear`);
    if (volume.mode === 'rw' && disk.readOnly)
      throw new Refusal('guest_error', 'the disk is write-protected', 30);
    const root = load(disk);
    root.readOnly = volume.mode === 'ro';
    const { parent, name } = placeOf(this.#tree(volume.target).root, volume.path);
    parent.children.set(name, root);
    this.#mounted.set(volume.serial, { volume, disk, root });
  }

  unmount(serial: string, holder?: string): void {
    const there = this.#mounted.get(serial);
    if (there === undefined) return;
    if (holder !== undefined)
      throw new Refusal('conflict', `${there.volume.path} is in use by ${holder}`, 16);
    this.sync();
    const { parent, name } = placeOf(this.#tree(there.volume.target).root, there.volume.path);
    parent.children.set(name, makeNode('directory', 0o755));
    this.#mounted.delete(serial);
    this.#released.add(there.disk);
  }

  /** Everything that was written is in the disks. */
  sync(): void {
    for (const { volume, disk, root } of this.#mounted.values()) if (volume.mode === 'rw') store(disk, root);
  }
}

/** Directories of the path that are missing are made. */
function placeOf(root: FileNode, path: string): { parent: FileNode; name: string } {
  const names = path.split('/').filter(Boolean);
  const name = names.pop() ?? '';
  let parent = root;
  for (const each of names) {
    const next = parent.children.get(each) ?? makeNode('directory', 0o755);
    parent.children.set(each, next);
    parent = next;
  }
  return { parent, name };
}
