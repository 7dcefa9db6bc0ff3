import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTerminal, viv } from '../../../test/fake-context.ts';
import { FakeVivarium } from '../../../test/fake-vivarium.ts';
import { complete } from '../../completion/complete.ts';

test('a token is made with what it may do and for how long, and printed alone', async () => {
  const vivarium = new FakeVivarium();
  const words = ['token', 'create', '--name', 'ci', '--scope', 'instance:*', '--scope', 'image:read'];
  const made = await viv([...words, '--expires', '90d'], { vivarium });
  assert.equal(made.stdout, 'jwt-10000000\n');
  assert.deepEqual(vivarium.tokens.asked.at(-1), {
    name: 'ci',
    scopes: ['instance:*', 'image:read'],
    expiresInSeconds: 90 * 86_400,
  });
  await viv(['token', 'create'], { vivarium });
  assert.deepEqual(vivarium.tokens.asked.at(-1), {});
  const never = await viv(['token', 'create', '--expires', 'never', '--json'], { vivarium });
  assert.equal(JSON.parse(never.stdout).expiresAt, undefined);
  assert.equal(vivarium.tokens.asked.at(-1)?.expiresInSeconds, null);
  assert.equal((await viv(['token', 'create', '--expires', 'soon'], { vivarium })).status, 2);
});

test('tokens are listed without what they are, and revoked by the beginning of an id', async () => {
  const vivarium = new FakeVivarium();
  await viv(['token', 'create', '--name', 'ci', '--scope', 'pool:read'], { vivarium });
  const table = (await viv(['token', 'ls'], { vivarium })).stdout.split('\n');
  assert.match(table[0] ?? '', /^ID +NAME +SCOPES +CREATED +EXPIRES$/);
  assert.match(table[1] ?? '', /^10000000 +ci +pool:read +0s ago +in (30|29)d$/);
  const { context } = new FakeTerminal({ vivarium });
  await using _closed = context;
  assert.match(await complete(context, ['token', 'revoke', '']), /^10000000\tci$/m);
  assert.equal((await viv(['token', 'revoke', '1000'], { vivarium })).stdout, '1000\n');
  assert.match((await viv(['token', 'ls'], { vivarium })).stdout, /revoked/);
  assert.equal((await viv(['token', 'revoke', 'nosuch'], { vivarium })).status, 4);
  assert.doesNotMatch((await viv(['token', 'ls', '--json'], { vivarium })).stdout, /jwt-/);
});
