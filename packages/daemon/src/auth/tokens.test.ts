import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type ErrorCode, isVivError } from '@vivarium/model';
import { SignJWT } from 'jose';
import { owner } from './caller.ts';
import { Tokens } from './tokens.ts';

let home: string;
let tokens: Tokens;
before(() => {
  home = mkdtempSync(path.join(tmpdir(), 'tokens-'));
  tokens = new Tokens(home);
});
after(() => {
  tokens[Symbol.dispose]();
  rmSync(home, { recursive: true });
});

const refused = (code: ErrorCode, words: RegExp) => (error: unknown) =>
  isVivError(error, code) && words.test(error.message);
const secret = (): Uint8Array => Buffer.from(readFileSync(path.join(home, 'token.key'), 'utf8'), 'base64url');
const now = (): number => Math.floor(Date.now() / 1000);

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A token with the claims of a good one, but for these. */
function claims(jti: string, more: object = {}): Record<string, unknown> {
  return { permissions: ['*'], jti, aud: 'vivarium', exp: now() + 3600, ...more };
}

test('a token that was made lets in with its scopes until it is revoked', async () => {
  const made = await tokens.create({ name: 'ci', scopes: ['instance:read'] }, owner);
  const caller = await tokens.verify(made.token);
  assert.deepEqual([caller.tokenId, caller.grants], [made.id, ['instance:read']]);
  assert.equal(Date.parse(made.expiresAt ?? '') - Date.parse(made.createdAt), 30 * 86_400_000);
  assert.ok(tokens.list().some(({ id, name }) => id === made.id && name === 'ci'));
  assert.ok(!JSON.stringify(tokens.list()).includes(made.token));
  tokens.revoke(made.id.slice(0, 8));
  await assert.rejects(tokens.verify(made.token), refused('unauthorized', /revoked/));
  assert.ok(tokens.list().find(({ id }) => id === made.id)?.revokedAt);
  assert.throws(() => tokens.revoke('nosuch'), refused('not_found', /nosuch/));
});

test('key and list are for their owner only, and a daemon to come knows them', async () => {
  const { token, id } = await tokens.create({ expiresInSeconds: null }, owner);
  const gone = await tokens.create({}, owner);
  tokens.revoke(gone.id);
  for (const file of ['token.key', 'tokens.db'])
    assert.equal(statSync(path.join(home, file)).mode & 0o777, 0o600, file);
  using next = new Tokens(home);
  assert.equal((await next.verify(token)).tokenId, id);
  await assert.rejects(next.verify(gone.token), refused('unauthorized', /revoked/));
});

test('nothing but HS256 with our key is believed', async () => {
  const { token, id } = await tokens.create({}, owner);
  const [head = '', payload = '', signature = ''] = token.split('.');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const forged: Record<string, string | Promise<string>> = {
    'no algorithm': `${base64url({ alg: 'none', typ: 'JWT' })}.${payload}.`,
    'no algorithm, with the signature': `${base64url({ alg: 'none' })}.${payload}.${signature}`,
    'no signature': `${head}.${payload}.`,
    'another key': new SignJWT(claims(id)).setProtectedHeader({ alg: 'HS256' }).sign(randomBytes(32)),
    'another algorithm with our key': new SignJWT(claims(id))
      .setProtectedHeader({ alg: 'HS512' })
      .sign(Buffer.concat([secret(), Buffer.alloc(32)])),
    RSA: new SignJWT(claims(id)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey),
    'a public key as the secret': new SignJWT(claims(id))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))),
    'other claims under the signature': `${head}.${base64url(claims(id, { permissions: ['*', 'x'] }))}.${signature}`,
    'an extension that must be understood': `${base64url({ alg: 'HS256', crit: ['x'], x: 1 })}.${payload}.${signature}`,
    'two parts': `${head}.${payload}`,
    nothing: '',
    noise: 'a.b.c',
    much: 'x'.repeat(10_000),
  };
  for (const [what, pending] of Object.entries(forged))
    await assert.rejects(tokens.verify(await pending), refused('unauthorized', /refused/), what);
  await tokens.verify(token);
});

test('claims are judged: times, audience, id, permissions', async () => {
  const { id } = await tokens.create({}, owner);
  const sign = (more: object, without: string[] = []) => {
    const all = claims(id, more);
    for (const claim of without) delete all[claim];
    return new SignJWT(all).setProtectedHeader({ alg: 'HS256' }).sign(secret());
  };
  for (const [token, words] of [
    [sign({ exp: now() - 60 }), /expired/],
    [sign({ nbf: now() + 60 }), /not valid yet/],
    [sign({ aud: 'somebody' }), /aud/],
    [sign({}, ['jti']), /jti/],
    [sign({ jti: 'never-made' }), /not made it/],
    [sign({ permissions: '*' }), /permissions/],
    [sign({ permissions: [7] }), /permissions/],
  ] as const)
    await assert.rejects(tokens.verify(await token), refused('unauthorized', words));
  // hypeman's way: without the claim all is allowed.
  assert.deepEqual((await tokens.verify(await sign({}, ['permissions']))).grants, ['*']);
});

test('a token makes none with more scopes or a longer life, and takes those it made with it', async () => {
  const parent = await tokens.create({ scopes: ['token:write', 'image:read'], expiresInSeconds: 600 }, owner);
  const by = await tokens.verify(parent.token);
  for (const scopes of [['*'], ['image:*'], ['image:read', 'image:write']])
    await assert.rejects(tokens.create({ scopes }, by), refused('forbidden', /image|\*/));
  for (const expiresInSeconds of [700, null])
    await assert.rejects(tokens.create({ expiresInSeconds }, by), refused('forbidden', /longer/));
  await assert.rejects(tokens.create({ scopes: ['image:eat'] }, by), refused('invalid_request', /image:eat/));
  const child = await tokens.create({}, by);
  assert.deepEqual([child.scopes, child.expiresAt], [parent.scopes, parent.expiresAt]);
  const grandchild = await tokens.create({ scopes: ['image:read'] }, await tokens.verify(child.token));
  tokens.revoke(parent.id);
  for (const { token } of [parent, child, grandchild])
    await assert.rejects(tokens.verify(token), refused('unauthorized', /revoked/));
});

test('a key that is none is told as that, and never replaced', () => {
  const damaged = mkdtempSync(path.join(home, 'damaged-'));
  writeFileSync(path.join(damaged, 'token.key'), 'short\n');
  using broken = new Tokens(damaged);
  assert.throws(() => broken.list(), refused('internal', /token\.key/));
  assert.equal(readFileSync(path.join(damaged, 'token.key'), 'utf8'), 'short\n');
});
