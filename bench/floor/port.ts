import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRootDisk } from '../../packages/engine/src/disks/index.ts';
import { loadAssets } from '../../packages/engine/src/host/assets.ts';
import { floorInitramfs } from './initramfs.ts';
import { RawMachine } from './raw-machine.ts';

const MiB = 2 ** 20;

/** A raw guest behind one port: it echoes, writes to its ext4, or pours out zeros. Nobody reads the socket before `ready`. */
export async function rawPort(
  job: 'echo' | 'sink' | 'source',
  bytes = 0,
): Promise<AsyncDisposable & { socket: Socket }> {
  await using undo = new AsyncDisposableStack();
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-port-'));
  undo.defer(() => rm(dir, { recursive: true, force: true }));
  const initramfs = path.join(dir, 'initramfs.cpio');
  await floorInitramfs(initramfs);
  const disk = path.join(dir, 'root.qcow2');
  await createRootDisk({ path: disk, bases: path.join(dir, 'bases'), bytes: 4096 * MiB });
  const assets = await loadAssets();
  const machine = undo.use(
    await RawMachine.launch({
      cpus: 1,
      memoryBytes: 256 * MiB,
      boot: {
        kind: 'direct',
        kernel: assets.kernel.path,
        initramfs,
        cmdline: `console=ttyS0 quiet panic=-1 floor=${job} bytes=${bytes}`,
      },
      guest: 'agent',
      disks: [{ serial: 'root', path: disk, format: 'qcow2', readOnly: false }],
      publish: [],
      run: true,
      detached: false,
      logs: { maxBytes: MiB, keep: 1 },
    }),
  );
  const socket = await machine.open('control');
  undo.defer(() => {
    socket.destroy();
  });
  socket.write('go\n');
  await until(socket, (text) => text.includes('ready'));
  const resources = undo.move();
  return { socket, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** Reads until the text so far is what is waited for. */
export function until(socket: Socket, enough: (text: string) => boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let text = '';
  const read = (chunk: Buffer) => {
    text += chunk;
    if (!enough(text)) return;
    socket.off('data', read).off('close', fail);
    resolve();
  };
  const fail = () => reject(new Error(`The guest ended after ${JSON.stringify(text)}`));
  socket.on('data', read).once('close', fail);
  return promise;
}

/** Milliseconds until so many bytes have come. */
export function received(socket: Socket, bytes: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = bytes;
  const read = (chunk: Buffer) => {
    left -= chunk.length;
    if (left > 0) return;
    socket.off('data', read);
    resolve();
  };
  socket.on('data', read);
  return promise;
}
