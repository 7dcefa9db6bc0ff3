import {
  changeToWire,
  type DirectoryEntry,
  entryToWire,
  type FileChange,
  type MakeDirectory,
  nextPageHeader,
  type RenamePath,
  type SetAttributes,
  watching,
} from '@vivarium/api';
import { VivError } from '@vivarium/model';
import type { Call, Handler } from '../call.ts';
import { jsonForm, streamItems } from '../stream.ts';
import { find } from './find.ts';

const filesOf = async (call: Call) => (await find(call)).files;

export const listDirectory: Handler = async (call): Promise<DirectoryEntry[]> => {
  const { path, limit, cursor } = call.query as { path: string; limit?: number; cursor?: string };
  const all = await (await filesOf(call)).list(path);
  const after = cursor === undefined ? undefined : nameOf(cursor);
  const left = after === undefined ? all : all.filter(({ name }) => name > after);
  const page = left.slice(0, limit);
  const last = page.at(-1);
  if (last !== undefined && page.length < left.length)
    call.headers[nextPageHeader] = encodeURIComponent(last.name);
  return page.map(entryToWire);
};

function nameOf(cursor: string): string {
  try {
    return decodeURIComponent(cursor);
  } catch (cause) {
    throw new VivError('invalid_request', 'Not a cursor', {
      hint: `Give the ${nextPageHeader} of the page before, as it came.`,
      cause,
    });
  }
}

export const makeDirectory: Handler = async (call) => {
  const { path, ...options } = call.body as MakeDirectory;
  await (await filesOf(call)).mkdir(path, options);
};

export const removePath: Handler = async (call) => {
  const { path, ...options } = call.query as { path: string; recursive?: boolean; force?: boolean };
  return (await filesOf(call)).remove(path, options);
};

export const renamePath: Handler = async (call) => {
  const { from, to, ...options } = call.body as RenamePath;
  await (await filesOf(call)).rename(from, to, options);
};

export const setAttributes: Handler = async (call) => {
  const { path, follow_links: followLinks, ...attributes } = call.body as SetAttributes;
  await (await filesOf(call)).setAttributes(path, { ...attributes, followLinks });
};

export const watchPath: Handler = async (call) => {
  const { path, recursive } = call.query as { path: string; recursive?: boolean };
  const abort = new AbortController();
  const changes = await (await filesOf(call)).watch(path, { recursive, signal: abort.signal });
  async function* told(): AsyncGenerator<FileChange> {
    yield { kind: watching, path };
    for await (const change of changes) yield changeToWire(change);
  }
  const form = jsonForm((change: FileChange) => change, { heads: ({ kind }) => `event: ${kind}\n` });
  return streamItems(call, told(), form, abort);
};
