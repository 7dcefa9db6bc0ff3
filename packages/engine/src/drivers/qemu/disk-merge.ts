import { setTimeout as sleep } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import type { LayerMerge } from '../driver.ts';
import { diskNode } from './command-line.ts';
import { type Execute, topNode } from './disk-layers.ts';

/** Milliseconds between two looks at a job. */
const firstPause = 2;
const longestPause = 200;

interface Graph {
  nodes: { id: number; name: string }[];
  /** `name` is what the child is to its parent: `backing`, `file`, … */
  edges: { parent: number; child: number; name: string }[];
}

interface Job {
  id: string;
  status: string;
  error?: string;
}

/**
 * Copies what is in the layers between the top of a live disk and its new base into the top, while the guest writes to it,
 * and lets go of their files. Cut off, or failed, it leaves the disk as it was; what was copied is there twice.
 *
 * @throws VivError `disk_full`, `vmm_failed`, or the signal's reason.
 */
export async function mergeLayers(
  execute: Execute,
  serial: string,
  { base, layers, kept }: LayerMerge,
  signal: AbortSignal,
): Promise<void> {
  await settleMerge(execute, serial);
  const chain = await openChain(execute, serial);
  if (chain.length !== layers + 2)
    throw new VivError(
      'vmm_failed',
      `QEMU has ${chain.length} files of the disk ${serial} open, not ${layers + 2}`,
    );
  signal.throwIfAborted();
  await execute('block-stream', {
    'job-id': jobId(serial),
    device: chain[0],
    'base-node': chain.at(-1 - kept),
    'backing-file': base,
    // So that nobody has to be there when it ends to learn how.
    'auto-dismiss': false,
  });
  try {
    await ended(execute, serial, signal);
  } catch (error) {
    // Nobody may find it under way once this has rejected.
    await settleMerge(execute, serial);
    throw error;
  }
  const error = await settleMerge(execute, serial);
  // It may have ended just before it was cut off.
  if ((await openChain(execute, serial)).length === kept + 2) return;
  signal.throwIfAborted();
  throw new VivError(
    /no space left|quota/i.test(error ?? '') ? 'disk_full' : 'vmm_failed',
    `QEMU did not merge the disk: ${error ?? 'no reason given'}`,
  );
}

/**
 * Ends a merge that may be under way, whoever began it, and lets go of layers that are in no chain any more.
 *
 * @returns what it failed of.
 */
export async function settleMerge(execute: Execute, serial: string): Promise<string | undefined> {
  const job = await find(execute, serial);
  if (job !== undefined) {
    if (job.status !== 'concluded') await cancel(execute, serial);
    const last = await ended(execute, serial);
    if (last !== undefined) await execute('job-dismiss', { id: last.id });
    await letGo(execute, serial);
    return last?.error;
  }
  await letGo(execute, serial);
  return undefined;
}

const jobId = (serial: string): string => `merge-${serial}`;

async function find(execute: Execute, serial: string): Promise<Job | undefined> {
  return ((await execute('query-jobs')) as Job[]).find(({ id }) => id === jobId(serial));
}

async function cancel(execute: Execute, serial: string): Promise<void> {
  try {
    await execute('job-cancel', { id: jobId(serial) });
  } catch (error) {
    // It has ended meanwhile.
    if ((await find(execute, serial))?.status !== 'concluded') throw error;
  }
}

/** The job at its end, or as it is when the signal fires. */
async function ended(execute: Execute, serial: string, signal?: AbortSignal): Promise<Job | undefined> {
  const cutOff = Promise.withResolvers<void>();
  const abort = () => cutOff.resolve();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (let pause = firstPause; ; pause = Math.min(2 * pause, longestPause)) {
      const job = await find(execute, serial);
      if (job === undefined || job.status === 'concluded' || signal?.aborted) return job;
      await Promise.race([sleep(pause), cutOff.promise]);
    }
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Node names of a disk's layers from the top to the base. */
async function openChain(execute: Execute, serial: string): Promise<string[]> {
  return chainIn(await graph(execute), await topNode(execute, serial));
}

function chainIn({ nodes, edges }: Graph, top: string): string[] {
  const chain: string[] = [];
  let node = nodes.find(({ name }) => name === top);
  while (node !== undefined) {
    chain.push(node.name);
    const { id } = node;
    const below = edges.find(({ parent, name }) => parent === id && name === 'backing')?.child;
    node = nodes.find((other) => other.id === below);
  }
  return chain;
}

/** Nodes that we have added stay, with their files open, until they are removed: the upper ones first, which hold those below. */
async function letGo(execute: Execute, serial: string): Promise<void> {
  const all = await graph(execute);
  const chain = chainIn(all, await topNode(execute, serial));
  const own = diskNode(serial);
  let left = all.nodes.filter(
    ({ name }) => (name === own || name.startsWith(`${own}.`)) && !chain.includes(name),
  );
  while (left.length > 0) {
    const held = new Set(
      all.edges.filter(({ parent }) => left.some(({ id }) => id === parent)).map(({ child }) => child),
    );
    const free = left.filter(({ id }) => !held.has(id));
    if (free.length === 0)
      throw new VivError('vmm_failed', `The layers of the disk ${serial} hold each other`);
    for (const { name } of free) await execute('blockdev-del', { 'node-name': name });
    left = left.filter((node) => !free.includes(node));
  }
}

/** Marked as unstable by its name, and there since QEMU 4.0; nothing else tells which node stands on which. */
async function graph(execute: Execute): Promise<Graph> {
  return (await execute('x-debug-query-block-graph')) as Graph;
}
