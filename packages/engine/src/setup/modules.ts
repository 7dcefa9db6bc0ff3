import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { extractModule } from './bzimage.ts';
import { SetupError } from './command.ts';

/**
 * What the agent needs, in the order it is loaded: the channel first, disks and file systems, then the network. By `tcp_diag` it
 * ends connections that a restored guest has lost.
 */
export const wantedModules = [
  'virtio_pci',
  'virtio_console',
  'virtio_rng',
  'virtio_blk',
  'virtio_scsi',
  'sd_mod',
  'squashfs',
  'overlay',
  'ext4',
  'virtio_net',
  'af_packet',
  'tcp_diag',
] as const;

export interface KernelModule {
  /** As the kernel writes it: with underscores. */
  name: string;
  /** The module's ELF, decompressed. */
  data: Buffer;
}

const moduleName = (file: string): string =>
  path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

/** `depends` and `softdep=pre:` out of a module's .modinfo: NUL-terminated `key=value` texts. */
function dependencies(data: Buffer): { hard: string[]; soft: string[] } {
  const fields = data.toString('latin1').split('\0');
  const values = (key: string): string[] =>
    fields.filter((field) => field.startsWith(`${key}=`)).map((field) => field.slice(key.length + 1));
  const names = (text: string, separator: RegExp): string[] =>
    text
      .split(separator)
      .filter(Boolean)
      .map((name) => name.replaceAll('-', '_'));
  return {
    hard: values('depends').flatMap((text) => names(text, /,/)),
    soft: values('softdep').flatMap((text) =>
      names(/pre:\s*([^:]*?)(?:\s+post:|$)/.exec(text)?.[1] ?? '', /\s+/),
    ),
  };
}

/**
 * The wanted modules and everything they depend on, dependencies first. It reads the modules themselves, since a package that
 * was only unpacked has no `modules.dep` yet. What is built into the kernel is left out.
 * @param dir `/lib/modules/<version>` of the unpacked kernel.
 * @throws SetupError where a wanted module is neither there nor built in.
 */
export async function moduleClosure(
  dir: string,
  wanted: readonly string[] = wantedModules,
): Promise<KernelModule[]> {
  const files = new Map<string, string>();
  for (const entry of await readdir(dir, { recursive: true })) {
    if (/\.ko(\.\w+)?$/.test(entry)) files.set(moduleName(entry), path.join(dir, entry));
  }
  const builtin = new Set(
    (await readFile(path.join(dir, 'modules.builtin'), 'utf8')).split('\n').map(moduleName),
  );
  const found: KernelModule[] = [];
  const seen = new Set<string>();
  const visit = async (name: string, by: string | undefined): Promise<void> => {
    if (seen.has(name) || builtin.has(name)) return;
    seen.add(name);
    const file = files.get(name);
    if (file === undefined) {
      throw new SetupError(`The kernel in ${dir} has no module ${name}${by ? `, which ${by} needs` : ''}`);
    }
    const data = await extractModule(file, await readFile(file));
    const { hard, soft } = dependencies(data);
    for (const needed of hard) await visit(needed, name);
    for (const needed of soft.filter((needed) => files.has(needed))) await visit(needed, name);
    found.push({ name, data });
  };
  // virtio-rng is called so in its file name only; as a name it is virtio_rng.
  for (const name of wanted) await visit(name, undefined);
  return found;
}
