import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError, type Progress } from '@vivarium/model';
import type { TestDescriptor } from '../fixtures/layout.ts';
import { blobRequests, fakeWith, noise, room, small } from '../fixtures/pulling.ts';
import { openStore } from '../fixtures/store.ts';

test('a connection that breaks in the middle of a layer goes on where it broke', async () => {
  await using here = await room();
  const { registry, layers } = await fakeWith({ layers: [noise] });
  await using _ = registry;
  const [layer] = layers;
  let broken = 0;
  registry.interfere = (request, response) => {
    if (!request.url?.endsWith(layer?.digest ?? '') || broken === 3) return false;
    broken++;
    const write = response.write.bind(response);
    response.end = ((data: Buffer) => {
      write(data.subarray(0, 300_000), () => response.destroy());
      return response;
    }) as typeof response.end;
    return false;
  };
  const image = await here.store.pull(`${registry.host}/x:1`);
  assert.equal((await here.store.disk(image.digest)).layers, 1);
  const ranges = blobRequests(registry, layer?.digest ?? '').map(({ headers }) => headers.range);
  assert.equal(ranges.length, 4);
  assert.ok(
    ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? '')),
    String(ranges),
  );
});

test('a pull that was killed goes on in the next process where it was', async () => {
  await using here = await room();
  const { registry, layers, blobs } = await fakeWith({ layers: [noise] });
  await using _ = registry;
  const digest = layers[0]?.digest ?? '';
  const data = blobs.all.get(digest) ?? Buffer.alloc(0);
  // The child is killed, as a daemon would be, while the registry holds the rest of the layer back.
  const half = Promise.withResolvers<void>();
  registry.interfere = (request, response) => {
    if (!request.url?.endsWith(digest)) return false;
    response.writeHead(200, { 'content-length': data.length });
    response.write(data.subarray(0, 1_000_000));
    return true;
  };
  const script = `
    import { openStore } from ${JSON.stringify(new URL('../fixtures/store.ts', import.meta.url).href)};
    const store = await openStore({ dir: ${JSON.stringify(here.images)} });
    await store.pull(${JSON.stringify(`${registry.host}/x:1`)}, { onProgress: (step) => console.log(JSON.stringify(step)) });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const partial = path.join(here.images, 'blobs', `${digest.slice(7)}.partial`);
  child.stdout.on('data', () => {
    const poll = setInterval(async () => {
      const size = await readFile(partial).then(
        (bytes) => bytes.length,
        () => 0,
      );
      if (size < 1_000_000) return;
      clearInterval(poll);
      half.resolve();
    }, 10);
    child.stdout.removeAllListeners('data').resume();
  });
  await half.promise;
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  registry.interfere = () => false;
  const store = await openStore({ dir: here.images });
  await store.pull(`${registry.host}/x:1`);
  assert.equal(blobRequests(registry, digest).at(-1)?.headers.range, 'bytes=1000000-');
  assert.deepEqual(await readdir(path.join(here.images, 'blobs')), []);
});

test('a part of a layer that turns out wrong is fetched again as a whole, and longer parts are not trusted', async () => {
  await using here = await room();
  const { registry, layers } = await fakeWith({ layers: [noise] });
  await using _ = registry;
  const digest = layers[0]?.digest ?? '';
  await mkdir(path.join(here.images, 'blobs'), { recursive: true });
  await writeFile(path.join(here.images, 'blobs', `${digest.slice(7)}.partial`), Buffer.alloc(500_000));
  const image = await here.store.pull(`${registry.host}/x:1`);
  assert.deepEqual(
    blobRequests(registry, digest).map(({ headers }) => headers.range),
    ['bytes=500000-', undefined],
  );
  await here.store.remove(image.digest, () => []);
  await writeFile(path.join(here.images, 'blobs', `${digest.slice(7)}.partial`), Buffer.alloc(5_000_000));
  await here.store.pull(`${registry.host}/x:1`);
});

test('a registry that ignores or refuses ranges is served from the beginning', async () => {
  for (const status of [200, 416]) {
    await using here = await room();
    const { registry, layers } = await fakeWith({ layers: [noise] });
    await using _ = registry;
    const digest = layers[0]?.digest ?? '';
    await writeFile(path.join(here.images, 'blobs', `${digest.slice(7)}.partial`), Buffer.alloc(1000, 'x'));
    registry.interfere = (request, response) => {
      if (status === 200) delete request.headers.range;
      else if (request.headers.range) return Boolean(response.writeHead(416).end());
      return false;
    };
    await here.store.pull(`${registry.host}/x:1`);
  }
});

test('a truncated layer, one with other bytes and one that is too long are refused, and nothing of them is kept', async () => {
  const damages: [string, (data: Buffer) => Buffer][] = [
    ['truncated', (data) => data.subarray(0, data.length - 10)],
    [
      'changed',
      (data) => Buffer.concat([data.subarray(0, data.length - 1), Buffer.from([(data.at(-1) ?? 0) ^ 1])]),
    ],
    ['longer', (data) => Buffer.concat([data, Buffer.from('x')])],
  ];
  for (const [name, damage] of damages) {
    await using here = await room();
    const { registry, layers, blobs } = await fakeWith({ layers: [...small.layers, noise] });
    await using _ = registry;
    const digest = layers.at(-1)?.digest ?? '';
    blobs.all.set(digest, damage(blobs.all.get(digest) ?? Buffer.alloc(0)));
    await assert.rejects(
      here.store.pull(`${registry.host}/x:1`),
      (error) => isVivError(error, 'image_invalid'),
      name,
    );
    assert.deepEqual(here.store.list(), []);
    for (const part of ['tmp', 'blobs', 'layers', 'manifests'])
      assert.deepEqual(await readdir(path.join(here.images, part)), [], `${name}: ${part}`);
  }
});

test('a manifest or configuration that is not what its digest says, or has no end, is refused', async () => {
  const { registry, descriptor, blobs } = await fakeWith(small);
  await using _ = registry;
  const { config } = JSON.parse(blobs.all.get(descriptor.digest)?.toString() ?? '') as {
    config: TestDescriptor;
  };
  const good = blobs.all.get(config.digest) ?? Buffer.alloc(0);
  blobs.all.set(config.digest, Buffer.from(good.toString().replace('linux', 'linuX')));
  await using here = await room();
  await assert.rejects(here.store.pull(`${registry.host}/x:1`), (error) =>
    isVivError(error, 'image_invalid'),
  );
  blobs.all.set(config.digest, good);
  registry.interfere = (request, response) => {
    if (!request.url?.includes('/manifests/')) return false;
    response.writeHead(200, { 'content-type': 'application/json' });
    const more = (): void =>
      void (
        response.destroyed ||
        (response.write(Buffer.alloc(65_536, ' ')) ? setImmediate(more) : response.once('drain', more))
      );
    more();
    return true;
  };
  await assert.rejects(
    here.store.pull(`${registry.host}/x:1`),
    (error) => isVivError(error, 'image_invalid') && /larger/.test(error.message),
  );
  registry.interfere = (request, response) =>
    request.url?.includes('/manifests/') ? Boolean(response.end('{"schemaVersion":1}')) : false;
  await assert.rejects(
    here.store.pull(`${registry.host}/x:1`),
    (error) => isVivError(error, 'image_invalid') && /schema 1/.test(error.message),
  );
});

test('answers of 5xx and broken connections are tried again, others are not', async () => {
  await using here = await room();
  const { registry } = await fakeWith(small);
  await using _ = registry;
  let failures = 0;
  registry.interfere = (request, response) => {
    if (!request.url?.endsWith('/manifests/1') || failures === 2) return false;
    if (failures++ === 0) response.writeHead(503).end();
    else response.destroy();
    return true;
  };
  await here.store.pull(`${registry.host}/x:1`);
  assert.equal(failures, 2);

  for (const [status, code] of [
    [429, 'rate_limited'],
    [400, 'registry_unreachable'],
    [403, 'registry_denied'],
    [404, 'image_not_found'],
  ] as const) {
    registry.requests.length = 0;
    registry.interfere = (_request, response) =>
      Boolean(response.writeHead(status).end('{"errors":[{"code":"X","message":"because"}]}'));
    await assert.rejects(
      here.store.pull(`${registry.host}/y:1`),
      (error) => isVivError(error, code) && /because/.test(error.message),
      code,
    );
    assert.equal(registry.requests.length, 1);
  }
  registry.interfere = (_request, response) => Boolean(response.writeHead(500).end());
  await assert.rejects(here.store.pull(`${registry.host}/y:1`), (error) =>
    isVivError(error, 'registry_unreachable'),
  );
});

test('giving up a pull ends the transfer at once and keeps what has come', async () => {
  await using here = await room();
  const { registry, layers, blobs } = await fakeWith({ layers: [noise] });
  await using _ = registry;
  const digest = layers[0]?.digest ?? '';
  const closed = Promise.withResolvers<void>();
  registry.interfere = (request, response) => {
    if (!request.url?.endsWith(digest)) return false;
    response.writeHead(200, { 'content-length': blobs.all.get(digest)?.length });
    response.write(blobs.all.get(digest)?.subarray(0, 200_000));
    response.once('close', closed.resolve);
    return true;
  };
  const stop = new AbortController();
  const onProgress = (step: Progress): void => void (step.stage === 'layer' && stop.abort());
  await assert.rejects(
    here.store.pull(`${registry.host}/x:1`, { signal: stop.signal, onProgress }),
    (error) => isVivError(error, 'cancelled'),
  );
  await closed.promise;
  assert.deepEqual(await readdir(path.join(here.images, 'tmp')), []);
  assert.deepEqual(await readdir(path.join(here.images, 'blobs')), [`${digest.slice(7)}.partial`]);
  const late = AbortSignal.timeout(200);
  registry.interfere = () => new Promise<boolean>(() => undefined);
  await assert.rejects(here.store.pull(`${registry.host}/x:1`, { signal: late }), (error) =>
    isVivError(error, 'timeout'),
  );
});
