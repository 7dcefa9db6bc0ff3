import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routes } from './index.ts';
import { allows, beyond, isGrant, type Scope, scopes } from './scopes.ts';

test('a grant allows itself, all of its resource, or everything', () => {
  assert.ok(allows(['instance:read'], 'instance:read'));
  assert.ok(allows(['instance:*'], 'instance:delete'));
  assert.ok(allows(['*'], 'token:write'));
  assert.ok(allows(['instance:write'], 'instance:exec'), 'hypeman’s write has exec in it');
  assert.ok(!allows(['instance:exec'], 'instance:write'));
  assert.ok(!allows(['instance:read'], 'image:read'));
  assert.ok(!allows(['instance'], 'instance:read'));
  assert.ok(!allows(['inst*', 'instance:', ':*', '**'], 'instance:read'));
  assert.ok(!allows([], 'instance:read'));
});

test('only known scopes and wildcards are grants', () => {
  for (const grant of [...Object.keys(scopes), '*', 'instance:*', 'token:*'])
    assert.ok(isGrant(grant), grant);
  for (const grant of ['', 'instance', 'instances:read', 'x:*', 'instance:fly', ' *'])
    assert.ok(!isGrant(grant), grant);
});

test('nobody gives what they have not got, wildcards least of all', () => {
  assert.equal(beyond(['instance:read'], ['instance:read']), undefined);
  assert.equal(beyond(['instance:write'], ['instance:exec']), undefined);
  assert.equal(beyond(['*'], ['*', 'instance:*']), undefined);
  assert.equal(beyond(['instance:read'], ['instance:read', 'instance:write']), 'instance:write');
  const all = Object.keys(scopes) as Scope[];
  assert.equal(beyond(all, ['instance:*']), 'instance:*');
  assert.equal(beyond(all, ['*']), '*');
  assert.equal(beyond(['instance:*'], ['instance:delete', 'image:read']), 'image:read');
});

test('every route needs a scope that exists, but those that anybody may ask', () => {
  const open = routes.filter(({ scope }) => scope === 'public').map(({ name }) => name);
  assert.deepEqual(open.sort(), ['docs', 'health', 'openapi']);
  for (const { name, scope } of routes) assert.ok(scope === 'public' || Object.hasOwn(scopes, scope), name);
});
