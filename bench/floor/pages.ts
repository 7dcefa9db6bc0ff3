import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { interleaved, timed } from '../stats.ts';
import { LeanClient } from './lean-client.ts';

/** Milliseconds of each request. */
export interface Pages {
  ours: number[];
  /** As many bytes from a bare server, in turn with ours. */
  floor: number[];
}

/** The first request of all is counted, and the daemon is as cold as it was. */
export async function leanPages(socket: string, page: string, requests: number): Promise<Pages> {
  using daemon = new LeanClient(socket, page);
  let bytes = 0;
  const first = await timed(async () => {
    bytes = await daemon.get();
  });
  await using bare = await bareServer(bytes);
  using floor = new LeanClient(bare.socket, page);
  const times = await interleaved(
    requests - 1,
    () => timed(() => daemon.get()),
    () => timed(() => floor.get()),
  );
  return { ours: [first, ...times.ours], floor: times.floor };
}

/** With Node's own client, in a process of its own, whose garbage is counted. */
export async function nodePages(socket: string, page: string, requests: number): Promise<Pages> {
  let bytes = 0;
  {
    using daemon = new LeanClient(socket, page);
    bytes = await daemon.get();
  }
  await using bare = await bareServer(bytes);
  const { stdout } = await promisify(execFile)(process.execPath, [
    program('node-client'),
    page,
    String(requests),
    socket,
    bare.socket,
  ]);
  return JSON.parse(stdout) as Pages;
}

async function bareServer(bytes: number): Promise<AsyncDisposable & { socket: string }> {
  const socket = path.join(tmpdir(), `viv-bare-${process.pid}.sock`);
  const child = spawn(process.execPath, [program('bare-server'), socket, String(bytes)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    socket,
    [Symbol.asyncDispose]: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

const program = (name: string): string => path.join(import.meta.dirname, `${name}.ts`);
