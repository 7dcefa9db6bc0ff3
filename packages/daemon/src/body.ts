import type { IncomingMessage } from 'node:http';
import {
  check,
  ignoredFieldsHeader,
  isBytes,
  type Route,
  readQuery,
  refuseUnknown,
  unknownFields,
} from '@vivarium/api';
import { VivError } from '@vivarium/model';
import Type, { type TObject } from 'typebox';
import { readBytes } from './incoming.ts';
import { StatusError } from './status-error.ts';

const noQuery = Type.Object({});

/** A JSON body is a description, never data. */
const maxJsonBytes = 1024 * 1024;

/**
 * Refuses `.` and `..` as a part of a path, encoded or not: a URL's reader takes them for directories, and what was meant as
 * a name would lead to another route.
 */
export function requireStraightPath(target = '/'): void {
  const [path = ''] = target.split(/[?#]/, 1);
  if (/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path) || path.includes('\\'))
    throw new VivError('invalid_request', 'The path has a part that is . or .., or a backslash');
}

/** All of a body, when it is no longer than that. @throws VivError `payload_too_large`. */
export async function readAll(incoming: IncomingMessage, max: number, idleMs: number): Promise<Buffer> {
  const tooLarge = () => new VivError('payload_too_large', `The body is larger than ${max} bytes`);
  if (Number(incoming.headers['content-length'] ?? 0) > max) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of readBytes(incoming, idleMs)) {
    size += chunk.byteLength;
    if (size > max) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The JSON body of a request, checked; fields nobody knows are named in `headers` or refused, as the route's origin says. */
export async function readBody(
  route: Route,
  incoming: IncomingMessage,
  headers: Record<string, string>,
  idleMs: number,
): Promise<unknown> {
  if (route.body === undefined || isBytes(route.body)) return undefined;
  const bytes = await readAll(incoming, maxJsonBytes, idleMs);
  if (bytes.byteLength === 0 && route.bodyOptional) return {};
  const type = incoming.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json' && !type?.endsWith('+json')) {
    throw new StatusError(
      415,
      `The body is ${type ?? 'of no type'}`,
      'Send JSON, with content-type: application/json.',
    );
  }
  const value = parseJson(bytes);
  const body = value === null && route.bodyOptional ? {} : value;
  check(route.body, body, 'The body');
  if (route.origin === 'vivarium') refuseUnknown(route.body, body, 'The body');
  else nameIgnored(unknownFields(route.body, body), headers);
  return body;
}

export function readRouteQuery(
  route: Route,
  params: URLSearchParams,
  headers: Record<string, string>,
): unknown {
  const schema: TObject = route.query ?? noQuery;
  const { query, unknown } = readQuery(schema, params);
  check(schema, query, 'The query');
  if (route.origin === 'vivarium')
    refuseUnknown(schema, Object.fromEntries(unknown.map((key) => [key, ''])), 'The query');
  else nameIgnored(unknown, headers);
  return query;
}

function nameIgnored(unknown: string[], headers: Record<string, string>): void {
  if (unknown.length === 0) return;
  const before = headers[ignoredFieldsHeader];
  const names = unknown
    .slice(0, 20)
    .map((name) =>
      encodeURIComponent(name.slice(0, 64).toWellFormed()).replace(/%5[BD]/g, decodeURIComponent),
    );
  headers[ignoredFieldsHeader] = [...(before === undefined ? [] : [before]), ...names].join(', ');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? cause.message : 'it is not UTF-8';
    throw new VivError('invalid_request', `The body is not JSON: ${why}`, { cause });
  }
}
