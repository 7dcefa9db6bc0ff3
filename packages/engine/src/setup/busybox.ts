import { createWriteStream } from 'node:fs';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Header, pack } from 'tar-stream';
import type { StepHandle } from './checklist.ts';
import { output, SetupError } from './command.ts';
import { unpack } from './debian.ts';
import { fileDigest, inputsDigest, keyed } from './keyed.ts';
import { writeOciArchive } from './oci-archive.ts';

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const textFiles: Record<string, string> = {
  'etc/passwd': [
    'root:x:0:0:root:/root:/bin/sh',
    'daemon:x:1:1:daemon:/usr/sbin:/bin/false',
    'www-data:x:33:33:www-data:/var/www:/bin/false',
    'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
    '',
  ].join('\n'),
  'etc/group': ['root:x:0:', 'daemon:x:1:', 'tty:x:5:', 'www-data:x:33:', 'nogroup:x:65534:', ''].join('\n'),
  'etc/shadow': ['root:*:::::::', 'daemon:*:::::::', 'www-data:*:::::::', 'nobody:*:::::::', ''].join('\n'),
  'etc/hosts': '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  'etc/profile': `export PATH=${searchPath}\nexport PS1='\\h:\\w\\$ '\numask 022\n`,
  'etc/services': 'http\t80/tcp\nhttps\t443/tcp\nssh\t22/tcp\ndomain\t53/udp\n',
};

/** Name and mode; parents first. */
const directories: [string, number][] = [
  ...[
    'bin',
    'dev',
    'etc',
    'home',
    'mnt',
    'proc',
    'run',
    'sbin',
    'srv',
    'sys',
    'usr',
    'usr/bin',
    'usr/sbin',
    'var',
  ],
  ...['var/log', 'var/spool', 'var/www'],
].map((name): [string, number] => [name, 0o755]);
directories.push(['root', 0o700], ['tmp', 0o1777], ['var/tmp', 0o1777]);

/** What Docker's image has under /bin/busybox, as one layer: every applet a symbolic link to the one program. */
async function writeLayer(busybox: string, destination: string): Promise<void> {
  const applets = (await output([busybox, '--list-full']))
    .split('\n')
    .filter((name) => name !== 'bin/busybox');
  if (!applets.includes('bin/sh')) throw new SetupError('The busybox of the distribution has no shell');
  const layer = pack();
  const written = pipeline(layer, createWriteStream(destination));
  const add = (header: Partial<Header> & { name: string }, body?: Buffer | string): void => {
    const full = { uid: 0, gid: 0, mtime: new Date(0), ...header };
    if (body === undefined) layer.entry(full);
    else layer.entry(full, body);
  };
  for (const [name, mode] of directories) add({ name: `${name}/`, type: 'directory', mode });
  add({ name: 'bin/busybox', mode: 0o755 }, await readFile(busybox));
  for (const name of applets.sort()) {
    add({
      name,
      type: 'symlink',
      mode: 0o777,
      linkname: path.posix.relative(path.posix.dirname(name), 'bin/busybox'),
    });
  }
  for (const [name, text] of Object.entries(textFiles)) {
    add({ name, mode: name === 'etc/shadow' ? 0o600 : 0o644 }, text);
  }
  layer.finalize();
  await written;
}

/**
 * The built-in image `busybox`: an OCI archive around the distribution's static busybox, which is downloaded and unpacked but
 * not installed (it conflicts with the dynamic one a host may have).
 */
export async function buildBusyboxImage(
  dir: string,
  step: StepHandle,
): Promise<{ archive: string; program: string }> {
  const program = await keyed(dir, 'busybox', { version: 1, arch: process.arch }, async (into) => {
    const unpacked = path.join(into, 'unpacked');
    await mkdir(unpacked);
    step.note('downloading busybox-static');
    await unpack('busybox-static', unpacked, { log: step.log });
    const from = await readFile(path.join(unpacked, 'bin/busybox')).then(
      () => 'bin/busybox',
      () => 'usr/bin/busybox', // Distributions with a merged /usr ship it there.
    );
    await copyFile(path.join(unpacked, from), path.join(into, 'busybox'));
    await rm(unpacked, { recursive: true });
  });
  const busybox = path.join(program, 'busybox');
  const inputs = {
    version: 1,
    busybox: await fileDigest(busybox),
    text: inputsDigest({ textFiles, directories }),
  };
  const built = await keyed(dir, 'images', inputs, async (into) => {
    const layer = path.join(into, 'layer.tar');
    await writeLayer(busybox, layer);
    await writeOciArchive(path.join(into, 'busybox.tar'), {
      reference: 'docker.io/library/busybox:latest',
      layers: [layer],
      config: { Cmd: ['sh'], Env: [`PATH=${searchPath}`] },
    });
    await rm(layer);
  });
  return { archive: path.join(built, 'busybox.tar'), program: busybox };
}
