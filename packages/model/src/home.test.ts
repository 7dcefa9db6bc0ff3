import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivError } from './errors.ts';
import { daemonSocket, dataDir } from './home.ts';

test('VIV_HOME names the data directory, also for root, and is made absolute', () => {
  assert.equal(dataDir({ VIV_HOME: '/srv/viv' }, 0), '/srv/viv');
  assert.equal(dataDir({ VIV_HOME: 'here' }, 1000), `${process.cwd()}/here`);
});

test('root keeps its data in /var/lib, others where XDG says', () => {
  assert.equal(dataDir({ HOME: '/root' }, 0), '/var/lib/vivarium');
  assert.equal(dataDir({ HOME: '/home/ann' }, 1000), '/home/ann/.local/share/vivarium');
  assert.equal(dataDir({ HOME: '/home/ann', XDG_DATA_HOME: '/data' }, 1000), '/data/vivarium');
  assert.equal(
    dataDir({ HOME: '/home/ann', XDG_DATA_HOME: 'relative' }, 1000),
    '/home/ann/.local/share/vivarium',
  );
});

test('a data directory too deep for a unix socket is refused with a hint', () => {
  assert.equal(daemonSocket('/srv/viv'), '/srv/viv/vivd.sock');
  assert.throws(
    () => daemonSocket(`/${'x'.repeat(120)}`),
    (error) => error instanceof VivError && error.hint !== undefined,
  );
});
