import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { Blobs, temporaryDirectory } from '../fixtures/layout.ts';
import { type FakeRegistry, listen, startFakeRegistry } from '../fixtures/registry.ts';
import { openStore } from '../fixtures/store.ts';
import type { ImageStore } from '../store.ts';
import { parseChallenges } from './auth.ts';
import { findCredentials } from './credentials.ts';

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;

interface Room extends AsyncDisposable {
  dir: string;
  registry: FakeRegistry;
  /** Writes Docker's configuration and opens a fresh store. */
  store(config?: unknown): Promise<ImageStore>;
}

async function room(layers = 1): Promise<Room> {
  const temporary = await temporaryDirectory();
  const blobs = new Blobs();
  const descriptor = blobs.image({ layers: Array.from({ length: layers }, (_, at) => [{ name: `f${at}` }]) });
  const registry = await startFakeRegistry(blobs, { '1': descriptor.digest });
  const dockerConfig = path.join(temporary.dir, 'config.json');
  let count = 0;
  return {
    dir: temporary.dir,
    registry,
    async store(config) {
      if (config !== undefined) await writeFile(dockerConfig, JSON.stringify(config));
      return openStore({
        dir: path.join(temporary.dir, `images-${count++}`),
        dockerConfig,
      });
    },
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await temporary[Symbol.asyncDispose]();
    },
  };
}

interface TokenServer extends AsyncDisposable {
  host: string;
  requests: { url: string; method: string; authorization?: string; body: string }[];
}

async function tokenServer(
  answer: (request: TokenServer['requests'][number], response: ServerResponse) => void,
): Promise<TokenServer> {
  const requests: TokenServer['requests'] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const seen = {
      url: request.url ?? '',
      method: request.method ?? '',
      authorization: request.headers.authorization,
      body,
    };
    requests.push(seen);
    answer(seen, response);
  });
  const { host, close } = await listen(server);
  return { host, requests, [Symbol.asyncDispose]: close };
}

/** Lets only this Authorization pass. */
function guard(registry: FakeRegistry, challenge: string, accepted: () => string): void {
  registry.interfere = (request, response) => {
    if (request.headers.authorization === accepted()) return false;
    response
      .writeHead(401, { 'www-authenticate': challenge })
      .end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
    return true;
  };
}

test('challenges are read with quotes, several schemes and odd spacing', () => {
  assert.deepEqual(
    parseChallenges('Bearer realm="https://a/token",service="s, x",scope="repository:a:pull,push"'),
    {
      scheme: 'bearer',
      parameters: { realm: 'https://a/token', service: 's, x', scope: 'repository:a:pull,push' },
    },
  );
  assert.equal(parseChallenges('Basic realm="x", Bearer realm="https://b/"')?.scheme, 'bearer');
  assert.equal(parseChallenges('BASIC realm=x')?.scheme, 'basic');
  for (const none of ['', 'Negotiate', '"', '=,=', 'Digest realm="x"'])
    assert.equal(parseChallenges(none), undefined, none);
});

test('basic credentials of the Docker configuration are used when they are asked for, and not before', async () => {
  await using here = await room();
  const { registry } = here;
  guard(registry, 'Basic realm="here"', () => basic('user:pass:word'));
  const store = await here.store({
    auths: { [`https://${registry.host}/v1/`]: { auth: Buffer.from('user:pass:word').toString('base64') } },
  });
  await store.pull(`${registry.host}/x:1`);
  assert.equal(registry.requests[0]?.headers.authorization, undefined);
  assert.equal(registry.requests.filter(({ headers }) => headers.authorization === undefined).length, 1);
});

test('wrong credentials, and none, are refused by name, with what to do', async () => {
  await using here = await room();
  const { registry } = here;
  guard(registry, 'Basic realm="here"', () => basic('right:right'));
  const wrong = { auths: { [registry.host]: { username: 'wrong', password: 'wrong' } } };
  for (const [config, words] of [
    [wrong, /with the credentials/],
    [{}, /without credentials/],
  ] as const) {
    const store = await here.store(config);
    await assert.rejects(
      store.pull(`${registry.host}/x:1`),
      (error) =>
        isVivError(error, 'registry_denied') &&
        words.test(error.message) &&
        /docker login/.test(error.hint ?? ''),
    );
  }
  assert.ok(registry.requests.length < 10, 'it does not try for ever');
});

test('a token is fetched with service, scope and credentials, shared by all layers, and renewed when it ends', async () => {
  await using here = await room(12);
  const { registry } = here;
  let issued = 0;
  await using tokens = await tokenServer(
    (_request, response) => void response.end(JSON.stringify({ token: `token-${++issued}` })),
  );
  const challenge = `Bearer realm="http://${tokens.host}/token?a=b",service="registry.test",scope="repository:x:pull"`;
  guard(registry, challenge, () => `Bearer token-${issued}`);
  const store = await here.store({
    auths: { [registry.host]: { auth: Buffer.from('u:p').toString('base64') } },
  });
  await store.pull(`${registry.host}/x:1`);
  assert.equal(tokens.requests.length, 1);
  const url = new URL(tokens.requests[0]?.url ?? '', 'http://x');
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    a: 'b',
    service: 'registry.test',
    scope: 'repository:x:pull',
  });
  assert.equal(tokens.requests[0]?.authorization, basic('u:p'));

  const again = await here.store();
  let ended = false;
  const before = registry.interfere;
  registry.interfere = (request, response) => {
    if (!ended && request.url?.includes('/blobs/')) {
      ended = true;
      issued++; // What has been given out is worth nothing any more.
    }
    return before(request, response);
  };
  await again.pull(`${registry.host}/x:1`);
  assert.ok(ended);
});

test('an identity token is exchanged by POST, and never sent to the registry', async () => {
  await using here = await room();
  const { registry } = here;
  await using tokens = await tokenServer(
    (_request, response) => void response.end('{"access_token":"granted"}'),
  );
  guard(registry, `Bearer realm="http://${tokens.host}/token",service="s"`, () => 'Bearer granted');
  const store = await here.store({ auths: { [registry.host]: { identitytoken: 'secret-identity' } } });
  await store.pull(`${registry.host}/x:1`);
  const [request] = tokens.requests;
  assert.equal(request?.method, 'POST');
  const form = Object.fromEntries(new URLSearchParams(request?.body));
  assert.deepEqual(form, {
    grant_type: 'refresh_token',
    client_id: 'vivarium',
    refresh_token: 'secret-identity',
    scope: 'repository:x:pull',
    service: 's',
  });
  assert.ok(!JSON.stringify(registry.requests).includes('secret-identity'));
});

test('a token server that refuses, fails or talks nonsense is told apart', async () => {
  const cases: [number, string, string][] = [
    [401, '', 'registry_denied'],
    [429, '', 'rate_limited'],
    [500, '', 'registry_unreachable'],
    [200, 'no json', 'registry_unreachable'],
    [200, '{"token":"a\\nb"}', 'registry_unreachable'],
    [200, '{}', 'registry_unreachable'],
  ];
  for (const [status, body, code] of cases) {
    await using here = await room();
    await using tokens = await tokenServer((_request, response) => void response.writeHead(status).end(body));
    guard(here.registry, `Bearer realm="http://${tokens.host}/"`, () => 'never');
    await assert.rejects(
      (await here.store({})).pull(`${here.registry.host}/x:1`),
      (error) => isVivError(error) && error.code === code,
      `${status} ${body}`,
    );
  }
});

test('credentials do not follow a redirect to another host', async () => {
  await using here = await room();
  const { registry } = here;
  const blobs = new Map(registry.requests.map(({ line }) => [line, '']));
  await using storage = await tokenServer(
    (request, response) =>
      void response.writeHead(302, { location: `http://${registry.host}${request.url}` }).end(),
  );
  guard(registry, 'Basic realm="here"', () => basic('u:p'));
  const guarded = registry.interfere;
  let bare = 0;
  registry.interfere = (request, response) => {
    if (!request.url?.includes('/blobs/')) return guarded(request, response);
    if (request.headers.authorization)
      return Boolean(response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end());
    bare++; // Came back from the other host, without the header.
    return false;
  };
  const store = await here.store({ auths: { [registry.host]: { username: 'u', password: 'p' } } });
  await store.pull(`${registry.host}/x:1`).catch((error) => assert.fail(error));
  assert.ok(bare > 0 && blobs.size === 0);
  assert.ok(
    storage.requests.length > 0 && storage.requests.every((request) => request.authorization === undefined),
  );
});

test('redirects without end are given up', async () => {
  await using here = await room();
  here.registry.interfere = (request, response) =>
    Boolean(response.writeHead(302, { location: request.url }).end());
  await assert.rejects(
    (await here.store()).pull(`${here.registry.host}/x:1`),
    (error) => isVivError(error, 'registry_unreachable') && /redirects/.test(error.message),
  );
});

test('TLS is spoken with every registry but those on this machine and those named', async () => {
  await using here = await room();
  const name = `0.0.0.0:${here.registry.host.split(':')[1]}`;
  const store = await here.store();
  await assert.rejects(
    store.pull(`${name}/x:1`),
    (error) => isVivError(error, 'registry_unreachable') && /TLS/.test(error.message),
    'not local by name',
  );
  await store.pull(`${name}/x:1`, { insecure: true });
  const told = await openStore({
    dir: path.join(here.dir, 'told'),
    insecureRegistries: [name],
  });
  await told.pull(`${name}/x:1`);
});

test('credentials come from the helper for the registry, else the helper for all, else the file', async () => {
  await using temporary = await temporaryDirectory();
  const { dir } = temporary;
  const file = path.join(dir, 'config.json');
  const helper = async (name: string, script: string): Promise<void> => {
    await writeFile(path.join(dir, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    await chmod(path.join(dir, `docker-credential-${name}`), 0o755);
  };
  await mkdir(dir, { recursive: true });
  await helper('one', 'read server; echo "{\\"Username\\":\\"one\\",\\"Secret\\":\\"for $server\\"}"');
  await helper('all', 'echo \'{"Username":"<token>","Secret":"identity"}\'');
  await helper('none', 'echo "credentials not found in native keychain"; exit 1');
  await helper('broken', 'echo oops; exit 3');
  const config = {
    credHelpers: {
      'r.test': 'one',
      'empty.test': 'none',
      'bad.test': 'broken',
      'gone.test': 'does-not-exist',
      'evil.test': '../../bin/sh',
    },
    credsStore: 'all',
    auths: { 'empty.test': { auth: Buffer.from('file:secret').toString('base64') } },
  };
  await writeFile(file, JSON.stringify(config));
  const before = process.env.PATH;
  process.env.PATH = `${dir}:${before}`;
  try {
    assert.deepEqual(await findCredentials('r.test', file), {
      credentials: { username: 'one', password: 'for r.test' },
    });
    assert.deepEqual(await findCredentials('other.test', file), {
      credentials: { identityToken: 'identity' },
    });
    assert.deepEqual(await findCredentials('empty.test', file), {
      credentials: { username: 'file', password: 'secret' },
    });
    for (const [name, words] of [
      ['bad.test', /status 3: oops/],
      ['gone.test', /does-not-exist/],
      ['evil.test', /impossible name/],
    ] as const) {
      const found = await findCredentials(name, file);
      assert.equal(found.credentials, undefined);
      assert.match(found.problem ?? '', words);
    }
  } finally {
    process.env.PATH = before;
  }
  await writeFile(
    file,
    JSON.stringify({
      auths: { 'https://index.docker.io/v1/': { auth: Buffer.from('hub:pw').toString('base64') } },
    }),
  );
  assert.deepEqual(await findCredentials('docker.io', file), {
    credentials: { username: 'hub', password: 'pw' },
  });
  assert.deepEqual(await findCredentials('r.test', file), {});
  await writeFile(file, '{ not json');
  assert.match((await findCredentials('r.test', file)).problem ?? '', /cannot be read/);
  assert.deepEqual(await findCredentials('r.test', path.join(dir, 'absent')), {});
});
