import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { isAlive, killProcess, ownIdentity, parseStat, readIdentity, sameProcess } from './identity.ts';

describe('the identity of a process', () => {
  test('is read past a name that looks like more fields', () => {
    const fields = Array.from({ length: 40 }, (_, index) => String(index + 4));
    assert.deepEqual(parseStat(`77 (a) S 1 (b) ) R ${fields.join(' ')}`), { state: 'R', startTime: 22 });
    assert.equal(parseStat('nonsense'), undefined);
  });

  test('is the same each time it is read, and another for another process', async () => {
    const own = await ownIdentity();
    assert(sameProcess(own, await ownIdentity()));
    assert(await isAlive(own));
    assert.equal(sameProcess(own, { ...own, startTime: own.startTime + 1 }), false);
    assert.equal(await readIdentity(2 ** 22 + 1), undefined);
  });

  test('keeps a successor of the pid from being killed', async () => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    const identity = await readIdentity(child.pid ?? 0);
    assert(identity);
    assert.equal(await killProcess({ ...identity, startTime: identity.startTime - 1 }), true);
    assert.equal(await killProcess({ ...identity, bootId: 'another' }), true);
    assert(await isAlive(identity));
    const exited = once(child, 'exit');
    assert.equal(await killProcess(identity), true);
    assert.deepEqual(await exited, [null, 'SIGKILL']);
    assert.equal(await isAlive(identity), false);
  });
});
