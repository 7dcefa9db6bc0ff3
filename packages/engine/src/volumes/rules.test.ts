import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isVivError } from '@vivarium/model';
import { checkApart, checkMounts, checkPath } from './rules.ts';

describe('the place of a volume', () => {
  it('is an absolute path, without the slash at its end', () => {
    assert.equal(checkPath('/data'), '/data');
    assert.equal(checkPath('/var/lib/app/'), '/var/lib/app');
    assert.equal(checkPath('/usr/share/data'), '/usr/share/data');
  });

  it('is no directory of the system, and leads nowhere else', () => {
    const refused = [
      '',
      'data',
      '/',
      '//',
      '/a//b',
      '/a/../b',
      '/a/.',
      '/etc',
      '/usr/',
      '/proc/x',
      '/dev/shm',
    ];
    for (const path of [
      ...refused,
      '/run/app',
      '/a\0b',
      '/a\nb',
      `/${'x'.repeat(300)}`,
      `${'/abc'.repeat(300)}`,
    ])
      assert.throws(
        () => checkPath(path),
        (error) => isVivError(error, 'invalid_request'),
        path,
      );
  });

  it('is not above, below, or that of another one', () => {
    for (const other of ['/data', '/data/x'])
      assert.throws(
        () => checkApart('/data', ['/else', other]),
        (error) => isVivError(error, 'conflict'),
      );
    checkApart('/data', ['/data2', '/else/data']);
  });

  it('is judged for all volumes of an instance, of which there are 23 at most', () => {
    const mounts = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ volume: `v${index}`, path: `/v${index}` }));
    checkMounts(mounts(23));
    assert.throws(
      () => checkMounts(mounts(24)),
      (error) => isVivError(error, 'invalid_request'),
    );
    assert.throws(
      () =>
        checkMounts([
          { volume: 'a', path: '/a' },
          { volume: 'b', path: '/a/' },
        ]),
      (error) => isVivError(error, 'conflict'),
    );
    assert.throws(
      () => checkMounts([{ volume: 'a', path: '/a', mode: 'rwx' as 'rw' }]),
      (error) => isVivError(error, 'invalid_request'),
    );
  });
});
