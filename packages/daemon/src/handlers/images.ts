import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { hostPlatform, type Image, imageToWire, present } from '@vivarium/api';
import { type ErrorCode, type ImageInfo, VivError, withTags } from '@vivarium/model';
import { requireScope } from '../auth/caller.ts';
import { prefersAsync } from '../background.ts';
import type { Call, Handler } from '../call.ts';
import { readBytes } from '../incoming.ts';
import { pullToWire } from '../pulls.ts';
import { longCall } from '../stream.ts';

interface CreateImage {
  name: string;
  insecure?: boolean;
  platform?: unknown;
  credentials?: unknown;
  tags?: Record<string, string>;
}

/** What is wrong with the request itself. */
const callersFault: ReadonlySet<ErrorCode> = new Set(['invalid_reference', 'invalid_request']);

export const createImage: Handler = async (call) => {
  const { name, insecure, platform, credentials, tags } = call.body as CreateImage;
  if (platform != null && platform !== hostPlatform)
    throw unsupported('A platform other than the host’s', 'Leave platform out.');
  if (credentials != null) {
    throw unsupported(
      'Credentials in a request',
      'Log in with a tool that writes ~/.docker/config.json, as the daemon’s user.',
    );
  }
  const asked = present({ insecure, tags });
  if (call.lines || prefersAsync(call))
    return longCall(call, (options) => call.engine.images.pull(name, { ...options, ...asked }), imageToWire);
  const pull = call.house.pulls.start(name, asked);
  // What is wrong with the reference shows before anything is fetched; it belongs into this answer.
  const early = await Promise.race([
    pull.done.then(imageToWire),
    new Promise<undefined>((go) => setTimeout(() => go(undefined), 20)),
  ]).catch((error: unknown) => {
    const failure = VivError.from(error);
    if (callersFault.has(failure.code)) throw failure;
    return undefined;
  });
  return early ?? pullToWire(pull);
};

export const listImages: Handler = async ({ engine, house, query }): Promise<Image[]> => {
  const wanted = withTags((query as { tags?: Record<string, string> }).tags);
  return [...house.pulls.list(), ...(await engine.images.list()).map(imageToWire)].filter(({ tags }) =>
    wanted(tags),
  );
};

export const getImage: Handler = async ({ engine, house, params }) => {
  const name = params.name ?? '';
  const pull = house.pulls.find(name);
  const labelling = house.pulls.labelling(name);
  if (labelling !== undefined) return labelling;
  try {
    return imageToWire(await engine.images.get(name));
  } catch (error) {
    // A pull of what is here already does not hide it.
    if (pull !== undefined) return pull;
    throw error;
  }
};

export const deleteImage: Handler = async (call) => {
  const name = call.params.name ?? '';
  call.house.pulls.forget(name);
  const removed = await call.engine.images.remove(name);
  if (!call.lines) return undefined;
  const { freedBytes, ...rest } = removed;
  return longCall(
    call,
    async () => ({ ...rest, freed_bytes: freedBytes }),
    (result) => result,
  );
};

export const tagImage: Handler = async ({ engine, params, body }) =>
  imageToWire(await engine.images.tag(params.name ?? '', (body as { target: string }).target));

export const importImage: Handler = async (call) => {
  const query = call.query as { path?: string; reference?: string };
  const toWire = (images: ImageInfo[]) => images.map(imageToWire);
  const { path: hostPath, reference } = query;
  if (hostPath !== undefined) {
    if (!path.isAbsolute(hostPath))
      throw new VivError('invalid_request', `${hostPath} is not an absolute path`);
    // The daemon reads with its own rights what a token alone could not.
    requireScope(call.caller, 'resource:write');
    return longCall(
      call,
      (options) => call.engine.images.import(hostPath, { ...options, reference }),
      toWire,
    );
  }
  const spool = await mkdtemp(path.join(call.engine.home, 'import-'));
  const remove = () => rm(spool, { recursive: true, force: true });
  const archive = path.join(spool, 'image.tar');
  try {
    await receive(call, archive);
  } catch (error) {
    await remove();
    throw error;
  }
  return longCall(
    call,
    // It may go on when this call has been answered: the archive goes with the work.
    (options) =>
      Promise.resolve(call.engine.images.import(archive, { ...options, reference })).finally(remove),
    toWire,
  );
};

async function receive({ incoming, house }: Call, archive: string): Promise<void> {
  await pipeline(readBytes(incoming, house.patience.bodyMs), createWriteStream(archive, { mode: 0o600 }));
}

function unsupported(what: string, hint: string): VivError {
  return new VivError('not_supported', `${what}: not supported yet`, { hint });
}
