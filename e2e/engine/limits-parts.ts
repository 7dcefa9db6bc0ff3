import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Vm } from '@vivarium/model';

const MiB = 2 ** 20;

/** Seconds that something takes. */
export async function secondsOf(work: () => PromiseLike<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

/** Seconds that a guest needs to have so many MiB on the disk that a directory lies on. */
export const writing = (vm: Vm, mebibytes: number, dir = ''): Promise<number> =>
  secondsOf(() =>
    vm
      .exec(['dd', 'if=/dev/zero', `of=${dir}/written`, 'bs=1M', `count=${mebibytes}`, 'conv=fsync'])
      .orThrow(),
  );

/** Seconds that a guest needs to read from its disk what it has written; nothing of it is in its memory. */
export async function reading(vm: Vm): Promise<number> {
  await vm.exec(['sh', '-c', 'sync; echo 3 > /proc/sys/vm/drop_caches']).orThrow();
  return secondsOf(() => vm.exec(['dd', 'if=/written', 'of=/dev/null', 'bs=1M']).orThrow());
}

/** Seconds for so many small writes, each on the disk before the next one. */
export const smallWrites = (vm: Vm, times: number): Promise<number> =>
  secondsOf(() =>
    vm
      .exec([
        'sh',
        '-c',
        `i=0; while [ $i -lt ${times} ]; do i=$((i+1)); dd if=/dev/zero of=/small bs=4k count=1 conv=fsync 2> /dev/null; done`,
      ])
      .orThrow(),
  );

export function portTo(vm: Vm, guestPort: number): number {
  const found = vm.info.ports.find((port) => port.guestPort === guestPort)?.hostPort;
  assert.ok(found, `port ${guestPort} is published`);
  return found;
}

/** Seconds until all of a file has come through a published port. */
export const fetching = (port: number, file: string, bytes: number): Promise<number> =>
  secondsOf(async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/${file}`);
    assert.equal((await answer.arrayBuffer()).byteLength, bytes);
  });

/** Seconds until a guest that counts them says that it has got so many MiB through a published port. */
export const sending = (port: number, mebibytes: number): Promise<number> =>
  secondsOf(async () => {
    const socket = connect(port, '127.0.0.1');
    socket.end(Buffer.alloc(mebibytes * MiB));
    let counted = '';
    for await (const chunk of socket) counted += String(chunk);
    assert.equal(Number(counted), mebibytes * MiB);
  });

/** CPU seconds that a process has used. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/** CPUs that a process uses, over a while: what is measured is what it does in that time. */
export async function cpusUsed(pid: number, seconds = 2): Promise<number> {
  const before = await cpuSeconds(pid);
  const took = await secondsOf(() => delay(seconds * 1000));
  return ((await cpuSeconds(pid)) - before) / took;
}

/** The directory of the cgroup that a process is in, where it is one of ours; undefined where it is another. */
export async function groupDir(pid: number, controller: 'cpu' | 'memory'): Promise<string | undefined> {
  for (const line of (await readFile(`/proc/${pid}/cgroup`, 'utf8')).split('\n')) {
    const [, names, group] = /^\d+:([^:]*):(.*\/vivarium-.+)$/.exec(line) ?? [];
    if (names === undefined || group === undefined) continue;
    if (names === '') return path.join('/sys/fs/cgroup', group);
    if (names.split(',').includes(controller)) return path.join('/sys/fs/cgroup', controller, group);
  }
  return undefined;
}

/** How often the kernel has held the processes of a group back. */
export async function timesThrottled(dir: string): Promise<number> {
  return Number(/^nr_throttled (\d+)$/m.exec(await readFile(path.join(dir, 'cpu.stat'), 'utf8'))?.[1]);
}
