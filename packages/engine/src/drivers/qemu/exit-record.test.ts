import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readExit, recordUnobservedExit } from './exit-record.ts';

test('an exit that nobody saw is told the same to all who ask at once, and leaves one file', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'exit-'));
  try {
    const told = await Promise.all(Array.from({ length: 8 }, () => recordUnobservedExit(dir)));
    const kept = await readExit(dir);
    for (const exit of told) assert.deepEqual(exit, kept);
    assert.deepEqual(readdirSync(dir), ['exit.json']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
