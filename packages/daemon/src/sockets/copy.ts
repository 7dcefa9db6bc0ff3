import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CopyStart, check, statToWire } from '@vivarium/api';
import { encodeHeader, endOfArchive, readTar } from '@vivarium/archive';
import { isVivError, VivError, type Vm } from '@vivarium/model';
import { type FrameSocket, parseFrame } from './socket.ts';
import type { SocketHandler } from './upgrade.ts';

/**
 * How long a client that has been told everything may take to close the socket. hypeman's own flushes its last file first, and calls the copy
 * cut off where the socket is closed by then. Milliseconds.
 */
const patienceMs = 5000;

/** hypeman's file copy: one file or directory in, or a file or tree out, per socket. */
export const copySocket: SocketHandler = async ({ socket, vm }) => {
  const frame = await socket.next();
  if (frame === undefined) return;
  const start = check(CopyStart, parseFrame(frame), 'The first frame');
  try {
    if (start.direction === 'to') await copyTo(socket, vm, start);
    else if (start.direction === 'from') await copyFrom(socket, vm, start);
    else await tellStat(socket, vm, start);
  } catch (thrown) {
    const { code, message } = VivError.from(thrown);
    const failure =
      start.direction === 'to'
        ? { type: 'result', success: false, error: message, code }
        : { type: 'error', message, path: start.guest_path, code };
    await socket.sendJson(failure);
  }
  if (start.direction === 'from') await socket.untilLeft(patienceMs);
  socket.close();
};

async function copyTo(socket: FrameSocket, vm: Vm, start: CopyStart): Promise<void> {
  const { dir, base } = path.posix.parse(start.guest_path.replace(/(?<=.)\/+$/, ''));
  if (base === '' || base === '.' || base === '..') {
    throw new VivError('invalid_request', `${start.guest_path} names neither a file nor a directory to make`);
  }
  const spool = await mkdtemp(path.join(tmpdir(), 'viv-cp-'));
  try {
    const file = path.join(spool, 'data');
    const size = await receive(socket, file);
    const kind = start.is_dir ? 'directory' : 'file';
    const mode = start.mode ?? (start.is_dir ? 0o755 : 0o644);
    const owner = { uid: start.uid ?? 0, gid: start.gid ?? 0 };
    async function* tar() {
      yield encodeHeader({
        name: base,
        kind,
        size: start.is_dir ? 0 : size,
        mode,
        ...owner,
        mtimeMs: Date.now(),
      });
      if (!start.is_dir) {
        yield* createReadStream(file);
        yield new Uint8Array((512 - (size % 512)) % 512);
      }
      yield endOfArchive;
    }
    await vm.files.putArchive(dir === '' ? '.' : dir, tar(), { signal: socket.gone });
    await socket.sendJson({ type: 'result', success: true, bytes_written: start.is_dir ? 0 : size });
  } finally {
    await rm(spool, { recursive: true, force: true });
  }
}

/** A tar header needs the size first, and the client does not tell it: the bytes wait on disk. */
async function receive(socket: FrameSocket, file: string): Promise<number> {
  const sink = await open(file, 'wx', 0o600);
  let size = 0;
  try {
    for (;;) {
      const frame = await socket.next();
      if (frame === undefined) throw new VivError('cancelled', 'The client left in the middle of a copy');
      if (!frame.binary) {
        if ((parseFrame(frame) as { type?: string } | null)?.type === 'end') return size;
        throw new VivError('invalid_request', 'Expected bytes, or {"type":"end"}');
      }
      size += frame.data.byteLength;
      await sink.writeFile(frame.data);
    }
  } finally {
    await sink.close();
  }
}

async function copyFrom(socket: FrameSocket, vm: Vm, start: CopyStart): Promise<void> {
  const options = { followLinks: start.follow_links === true, signal: socket.gone };
  const root = path.posix.basename(start.guest_path.replace(/(?<=.)\/+$/, ''));
  const { kind } = await vm.files.stat(start.guest_path, options);
  let begun = false;
  for await (const { header, body } of readTar(vm.files.getArchive(start.guest_path, options))) {
    if (header.kind === 'other') continue;
    if (begun) await socket.sendJson({ type: 'end', final: false });
    begun = true;
    // Names are relative to what was asked for: a directory's own entry is '.', a single file keeps its name.
    const name = header.name.replace(/\/+$/, '');
    const below =
      kind === 'directory' && (name === root || name.startsWith(`${root}/`))
        ? name.slice(root.length + 1) || '.'
        : name;
    await socket.sendJson({
      type: 'header',
      path: below,
      mode: header.mode,
      is_dir: header.kind === 'directory',
      is_symlink: header.kind === 'symlink',
      link_target: header.linkName ?? '',
      size: header.size,
      mtime: Math.floor(header.mtimeMs / 1000),
      uid: header.uid,
      gid: header.gid,
    });
    for await (const chunk of body) await socket.send(chunk);
  }
  await socket.sendJson({ type: 'end', final: true });
}

async function tellStat(socket: FrameSocket, vm: Vm, start: CopyStart): Promise<void> {
  try {
    const stat = await vm.files.stat(start.guest_path, { followLinks: start.follow_links });
    await socket.sendJson({ type: 'stat', ...statToWire(stat) });
  } catch (error) {
    if (!isVivError(error, 'path_not_found')) throw error;
    await socket.sendJson({ type: 'stat', exists: false });
  }
}
