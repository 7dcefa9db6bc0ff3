import { glob, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { assetsDir, loadAssets } from '../../packages/engine/src/host/assets.ts';
import { cpio, directory, file } from '../../packages/engine/src/setup/cpio.ts';

/** Opens one port for reading and writing (a second open would be refused) and does what the kernel command line says. */
const init = `#!/bin/busybox sh
PATH=/bin
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "$module"; done < /lib/modules/load.list
find_port() { for p in /sys/class/virtio-ports/*; do [ "$($b cat $p/name)" = "$1" ] && port=/dev/\${p##*/}; done; }
while [ -z "$port" ]; do find_port vivarium.control; done
exec 3<>$port
for word in $($b cat /proc/cmdline); do case $word in floor=*) job=\${word#floor=};; bytes=*) count=$((\${word#bytes=} / 65536));; esac; done
# A read returns nothing at once while no host is connected.
while ! read -r go <&3; do :; done
case $job in
  echo) echo ready >&3; while :; do $b cat <&3 >&3; done;;
  sink) $b mkdir /mnt; $b mount -t ext4 /dev/vda /mnt; echo ready >&3
    while :; do $b dd bs=65536 count=$count iflag=fullblock of=/mnt/sink <&3 2>/dev/null; echo done >&3; done;;
  source) echo ready >&3; while read -r go <&3; do $b dd bs=65536 count=$count if=/dev/zero >&3 2>/dev/null; done;;
esac
`;

/** The initramfs of our guests with another init: of two entries of one name the later one wins. */
export async function floorInitramfs(target: string): Promise<void> {
  const { initramfs } = await loadAssets();
  const busybox = await readFile(await setUpBusybox());
  const over = cpio([
    directory('bin'),
    file('bin/busybox', busybox, 0o755),
    file('init', Buffer.from(init), 0o755),
  ]);
  await writeFile(target, Buffer.concat([await readFile(initramfs.path), over]));
}

/** The program that set-up unpacked for the image of that name; the host need not have one. */
async function setUpBusybox(): Promise<string> {
  const found = await Array.fromAsync(glob('busybox-*/busybox', { cwd: assetsDir() }));
  if (found[0] === undefined) throw new Error('Set-up left no busybox');
  return path.join(assetsDir(), found[0]);
}
