import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, VivError } from '@vivarium/model';
import { digestsBy } from './digests.ts';

const files = ['/saved/devices', '/saved/delta'];
const byShim = files.map((_, index) => ({ bytes: index, digest: `xxh3:${index}` }));
const byProgram = files.map(() => ({ bytes: 7, digest: 'xxh3:7' }));
const program = async () => byProgram;

const failing = (code: ErrorCode) => async () => {
  throw new VivError(code, 'no');
};

describe('digests by a shim that runs', () => {
  test('are what it answers', async () => {
    const asked: unknown[] = [];
    const shim = async (...what: unknown[]) => {
      asked.push(what.slice(0, 2));
      return { files: byShim };
    };
    assert.deepEqual(await digestsBy(shim, program)(files), byShim);
    assert.deepEqual(asked, [['memory_digest', { files }]]);
  });

  test('are made by the program where the shim is of a version that can not', async () => {
    assert.deepEqual(await digestsBy(failing('invalid_request'), program)(files), byProgram);
  });

  test('are not made where it says that a file is missing', async () => {
    const digests = digestsBy(failing('saved_state_damaged'), program);
    await assert.rejects(digests(files), { code: 'saved_state_damaged' });
  });
});
