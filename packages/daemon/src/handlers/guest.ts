import { type PathInfo, statToWire } from '@vivarium/api';
import { isVivError, VivError } from '@vivarium/model';
import { readAll } from '../body.ts';
import { type Handler, sent } from '../call.ts';
import { readBytes } from '../incoming.ts';
import { streamBytes } from '../stream.ts';
import { find } from './find.ts';

/** Whole files go through memory; larger ones are copied as archives. */
const maxFileBytes = 64 * 1024 * 1024;

interface PathQuery {
  path: string;
  follow_links?: boolean;
  mode?: number;
  uid?: number;
  gid?: number;
}

export const statPath: Handler = async (call): Promise<PathInfo> => {
  const { path, follow_links } = call.query as PathQuery;
  try {
    return statToWire(await (await find(call)).files.stat(path, { followLinks: follow_links }));
  } catch (error) {
    if (isVivError(error, 'path_not_found')) return { exists: false, error: error.message };
    throw error;
  }
};

export const readFile: Handler = async (call) => {
  const { path, offset, length } = call.query as PathQuery & { offset?: number; length?: number };
  const { files } = await find(call);
  const { sizeBytes } = await files.stat(path, { followLinks: true });
  if (Math.min(sizeBytes - (offset ?? 0), length ?? sizeBytes) > maxFileBytes) {
    throw new VivError(
      'payload_too_large',
      `${path} has ${sizeBytes} bytes; whole files are read up to ${maxFileBytes}`,
      {
        hint: 'Copy it out instead.',
      },
    );
  }
  // A file of /proc says that it has none.
  const part = offset === undefined && length === undefined ? undefined : { offset, length };
  if (part !== undefined) part.length = Math.min(length ?? maxFileBytes, maxFileBytes);
  const data = await files.readFile(path, part);
  call.outgoing.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': data.byteLength,
  });
  call.outgoing.end(data);
  return sent;
};

export const writeFile: Handler = async (call) => {
  const { path, mode, uid, gid } = call.query as PathQuery;
  const { files } = await find(call);
  await files.writeFile(path, await readAll(call.incoming, maxFileBytes, call.house.patience.bodyMs), {
    mode,
    uid,
    gid,
  });
  return undefined;
};

export const getArchive: Handler = async (call) => {
  const { path, follow_links } = call.query as PathQuery;
  const { files } = await find(call);
  const bytes = files.getArchive(path, { followLinks: follow_links, signal: call.signal });
  return streamBytes(call, 'application/x-tar', bytes);
};

export const putArchive: Handler = async (call) => {
  const { path } = call.query as PathQuery;
  const { files } = await find(call);
  return files.putArchive(path, readBytes(call.incoming, call.house.patience.bodyMs), {
    signal: call.signal,
  });
};
