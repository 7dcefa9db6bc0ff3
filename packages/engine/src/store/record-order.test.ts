import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { type InstanceRecord, readRecord, writeRecord } from './record.ts';

test('records written at the same time all succeed, the last one stays, and nothing lies beside it', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-record-'));
  const record = (generation: number) => ({ format: 1, id: 'i', name: 'n', generation }) as InstanceRecord;
  try {
    await Promise.all(Array.from({ length: 20 }, (_, generation) => writeRecord(dir, record(generation))));
    assert.equal((await readRecord(dir))?.generation, 19);
    assert.deepEqual(await readdir(dir), ['record.json']);
  } finally {
    await rm(dir, { recursive: true });
  }
});
