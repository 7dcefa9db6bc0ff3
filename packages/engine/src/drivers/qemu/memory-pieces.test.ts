import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { VivError } from '@vivarium/model';
import { writeMemory } from './memory-pieces.ts';
import { checkRamParts, ramParts } from './ram.ts';

const MiB = 2 ** 20;
const begin = 0x7f00_0000_0000;

/** What QEMU says of a guest address; `hidden` are addresses at which something else than RAM is seen. */
const lookUp = (memoryBytes: number, line: string, hidden?: number): string => {
  const address = Number(line.split(' ')[1]);
  const part = ramParts(memoryBytes).find(
    (one) => address >= one.address && address < one.address + one.bytes,
  );
  if (!part) return `No memory is mapped at address ${line.split(' ')[1]}`;
  const host = begin + part.offset + address - part.address;
  return `Host virtual address for ${line.split(' ')[1]} (${address === hidden ? 'pc.rom' : 'ram'}) is 0x${host.toString(16)}\r\n`;
};

describe("the guest's memory as QEMU tells it", () => {
  let dir: string;
  let into: string;
  let memory: Buffer;
  let asked: number;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-pieces-'));
    into = path.join(dir, 'memory');
    memory = Buffer.alloc(17 * MiB);
    asked = 0;
  });
  afterEach(() => rm(dir, { recursive: true }));

  /** A QEMU with that memory, which writes less than it is asked for from the `failing`-th piece on. */
  const qemu = (failing?: number) => async (command: string, args: object) => {
    if (command !== 'pmemsave')
      return lookUp(memory.length, (args as Record<string, string>)['command-line'] ?? '');
    asked += 1;
    const { val, size, filename } = args as { val: number; size: number; filename: string };
    await writeFile(filename, memory.subarray(val, val + (asked === failing ? size - 1 : size)));
    return {};
  };

  test('becomes a sparse file of the same bytes, and nothing else is left', async () => {
    memory.fill(1, 0, 4096);
    memory[8 * MiB - 1] = 2;
    memory.fill(3, 8 * MiB, 8 * MiB + 2 * 4096);
    memory[17 * MiB - 1] = 4;
    await writeMemory(qemu(), into, memory.length);
    assert.deepEqual(await readFile(into), memory);
    assert.equal(asked, 3);
    const { blocks, mode } = await stat(into);
    assert.ok(blocks * 512 <= 16 * 4096, `${blocks} blocks`);
    assert.equal(mode & 0o777, 0o400);
    assert.deepEqual(await readdir(dir), ['memory']);
  });

  test('of which the end is missing is no memory', async () => {
    await assert.rejects(writeMemory(qemu(3), into, memory.length), {
      code: 'vmm_failed',
      message: /1048575 of 1048576 bytes/,
    });
    assert.deepEqual(await readdir(dir), ['memory']);
  });

  test('is not waited for when the save is cancelled', async () => {
    const cancelled = new AbortController();
    const execute = qemu();
    const cancelling = async (command: string, args: object) => {
      const answer = await execute(command, args);
      if (asked === 2) cancelled.abort(new VivError('cancelled', 'enough'));
      return answer;
    };
    await assert.rejects(writeMemory(cancelling, into, memory.length, cancelled.signal), {
      code: 'cancelled',
    });
    assert.equal(asked, 2);
  });

  test('is not taken where firmware or a device lies over it', async () => {
    const hiding =
      (hidden: number) =>
      async (_: string, args = {}) =>
        lookUp(memory.length, (args as Record<string, string>)['command-line'] ?? '', hidden);
    for (const hidden of [0xa0000, 0xc4000, 0xfc000, memory.length - 4096]) {
      await assert.rejects(checkRamParts(hiding(hidden), ramParts(memory.length)), {
        code: 'not_supported',
        message: /pc\.rom/,
      });
    }
    await assert.rejects(checkRamParts(hiding(0), ramParts(memory.length)), { code: 'vmm_failed' });
  });

  test('lies in two parts where there is much of it', async () => {
    assert.deepEqual(ramParts(0xafff_f000), [{ address: 0, offset: 0, bytes: 0xafff_f000 }]);
    const parts = [
      { address: 0, offset: 0, bytes: 0x8000_0000 },
      { address: 0x1_0000_0000, offset: 0x8000_0000, bytes: 0x3000_0000 },
    ];
    assert.deepEqual(ramParts(0xb000_0000), parts);
    const execute = async (_: string, args = {}) =>
      lookUp(0xb000_0000, (args as Record<string, string>)['command-line'] ?? '');
    await checkRamParts(execute, parts);
    const wrong = parts.map((part) => ({ ...part, offset: 0 }));
    await assert.rejects(checkRamParts(execute, wrong), { code: 'not_supported' });
  });
});
