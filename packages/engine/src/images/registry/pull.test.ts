import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isVivError, type Progress } from '@vivarium/model';
import { Blobs, layoutWith, run, temporaryDirectory } from '../fixtures/layout.ts';
import { blobRequests, fakeWith, noise, room, small } from '../fixtures/pulling.ts';
import { startDockerRegistry, startFakeRegistry } from '../fixtures/registry.ts';
import type { Item } from '../fixtures/tar-of.ts';
import { hostArchitecture } from '../oci.ts';

let disposer: AsyncDisposableStack;
let real: string;
let realDigest: string;
let shared: string;

before(async () => {
  disposer = new AsyncDisposableStack();
  const temporary = disposer.use(await temporaryDirectory());
  shared = temporary.dir;
  real = disposer.use(await startDockerRegistry(shared)).host;
  const { layout, digest } = await layoutWith(path.join(shared, 'layout'), small, 'app:1');
  realDigest = digest;
  await run('skopeo', [
    'copy',
    '-q',
    '--insecure-policy',
    '--dest-tls-verify=false',
    `oci:${layout}:app:1`,
    `docker://${real}/team/app:1`,
  ]);
});
after(() => disposer.disposeAsync());

test('an image comes from a registry by tag and by digest, in OCI and in Docker form', async () => {
  await using here = await room();
  const stages: Progress[] = [];
  const image = await here.store.pull(`${real}/team/app:1`, { onProgress: (step) => stages.push(step) });
  assert.equal(image.digest, realDigest);
  assert.deepEqual(image.references, [`${real}/team/app:1`]);
  assert.equal((await here.store.disk(image.digest)).layers, 2);
  assert.deepEqual(await readdir(path.join(here.images, 'blobs')), [], 'nothing fetched is kept twice');
  assert.equal(stages.filter((step) => step.stage === 'layer' && step.done).length, 2);
  assert.deepEqual([stages[0]?.stage, stages.at(-1)?.stage], ['resolving', 'image-ready']);
  const pinned = await here.store.pull(`${real}/team/app@${realDigest}`);
  assert.equal(pinned.references.length, 2);
  const layout = path.join(shared, 'layout');
  await run('skopeo', [
    'copy',
    '-q',
    '--insecure-policy',
    '--dest-tls-verify=false',
    '--format',
    'v2s2',
    `oci:${layout}:app:1`,
    `docker://${real}/team/v2s2:1`,
  ]);
  const docker = await here.store.pull(`${real}/team/v2s2:1`);
  assert.notEqual(docker.digest, realDigest);
  assert.equal(
    (await readdir(path.join(here.images, 'layers'))).length,
    4,
    'both have the same two layers, of a file and its facts each',
  );
});

test('what the registry has not, and a registry that is not there, are told apart', async () => {
  await using here = await room();
  for (const name of [`${real}/team/app:2`, `${real}/nothing`, `${real}/team/app@sha256:${'0'.repeat(64)}`]) {
    await assert.rejects(here.store.pull(name), (error) => isVivError(error, 'image_not_found'), name);
  }
  await assert.rejects(here.store.pull('127.0.0.1:9/app'), (error) =>
    isVivError(error, 'registry_unreachable'),
  );
  await assert.rejects(here.store.pull('registry.invalid/app'), (error) =>
    isVivError(error, 'registry_unreachable'),
  );
  await assert.rejects(here.store.ensure(`sha256:${'0'.repeat(64)}`, 'missing'), (error) =>
    isVivError(error, 'image_not_found'),
  );
  assert.deepEqual(here.store.list(), []);
});

test('ten pulls of one image at a time fetch each layer once', async () => {
  await using here = await room();
  const { registry, layers } = await fakeWith({ layers: [...small.layers, noise] });
  await using _ = registry;
  const pulls = Array.from({ length: 10 }, () => here.store.ensure(`${registry.host}/x:1`, 'missing'));
  const [first, ...others] = await Promise.all(pulls);
  for (const other of others) assert.equal(other.digest, first?.digest);
  for (const layer of layers) assert.equal(blobRequests(registry, layer.digest).length, 1);
});

test('sixty layers come over the wire, never more than three at a time', async () => {
  await using here = await room();
  const { registry } = await fakeWith({
    layers: Array.from({ length: 60 }, (_, at): Item[] => [{ name: `f${at}` }]),
  });
  await using _ = registry;
  let now = 0;
  let most = 0;
  registry.interfere = async (request, response) => {
    if (request.url?.includes('/blobs/')) {
      most = Math.max(most, ++now);
      response.once('close', () => now--);
      await delay(10); // Long enough for the others to arrive, if they come.
    }
    return false;
  };
  const image = await here.store.pull(`${registry.host}/x:1`);
  assert.equal((await here.store.disk(image.digest)).layers, 60);
  assert.equal(most, 3);
});

test("an index gives this host's platform, and says which there are otherwise", async () => {
  await using here = await room();
  const blobs = new Blobs();
  const mine = blobs.image(small);
  const other = blobs.image({ ...small, architecture: 's390x' });
  const entries = [
    { ...other, platform: { os: 'linux', architecture: 's390x' } },
    { ...mine, platform: { os: 'linux', architecture: hostArchitecture() } },
  ];
  const tags = { '1': blobs.index(entries).digest, '2': blobs.index(entries.slice(0, 1)).digest };
  await using registry = await startFakeRegistry(blobs, tags);
  assert.equal((await here.store.pull(`${registry.host}/x:1`)).digest, mine.digest);
  await assert.rejects(
    here.store.pull(`${registry.host}/x:2`),
    (error) => isVivError(error, 'image_not_found') && /linux\/s390x/.test(error.message),
  );
  assert.equal(
    (await here.store.pull(`${registry.host}/x@${tags['1']}`)).digest,
    mine.digest,
    'by the digest of the index too',
  );
});
