import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { keepReserve } from './reserve.ts';

describe('room that is kept on the disk', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(path.join(tmpdir(), 'reserve-'));
  });
  afterEach(() => {
    chmodSync(home, 0o700);
    rmSync(home, { recursive: true });
  });
  const file = () => path.join(home, 'reserve');

  test('takes as much as it says, and is given up once', () => {
    using reserve = keepReserve(home, { bytes: 100_000 });
    assert.ok(statSync(file()).blocks * 512 >= 100_000);
    assert.equal(reserve.giveUp(), true);
    assert.equal(existsSync(file()), false);
    assert.equal(reserve.giveUp(), false);
  });

  test('is made again when there is room', async () => {
    using reserve = keepReserve(home, { bytes: 1000, everyMs: 1 });
    reserve.giveUp();
    for (const deadline = Date.now() + 5000; !existsSync(file()); await delay(1))
      assert.ok(Date.now() < deadline);
    assert.equal(statSync(file()).size, 1000);
  });

  test('is none where it can not be made, and nothing is left of it', () => {
    using reserve = keepReserve(path.join(home, 'absent'));
    assert.equal(reserve.giveUp(), false);
  });
});
