import type { Route } from '@vivarium/api';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { document, operationOf, type Schema } from './document.ts';
import type { FuzzRequest } from './requests.ts';

/*
 * Judges answers by the document alone, with another validator than the daemon's own: what both believe is true of it.
 */

const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: false });
ajv.addSchema({ $id: 'document', components: document.components });
const compiled = new WeakMap<Schema, ReturnType<typeof ajv.compile>>();

function problemOf(schema: Schema, value: unknown): string | undefined {
  let validate = compiled.get(schema);
  if (validate === undefined) {
    const text = JSON.stringify(schema).replaceAll('"#/components', '"document#/components');
    validate = ajv.compile(JSON.parse(text) as object);
    compiled.set(schema, validate);
  }
  return validate(value) ? undefined : ajv.errorsText(validate.errors);
}

export interface FuzzAnswer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly text: string;
  /** False for a stream that its reader left. */
  readonly complete: boolean;
}

/** The server's own fault is never an answer; these are other things than a defect, and the table says which. */
const notDefects = new Set([501, 502, 503, 504, 507]);

/** What is wrong with an answer; undefined where nothing is. `touched`: what of the engine the request reached. */
export function faultOf(
  route: Route,
  request: FuzzRequest,
  answer: FuzzAnswer,
  touched: readonly string[],
): string | undefined {
  const { status, headers, text, complete } = answer;
  if (status >= 500 && !notDefects.has(status)) return `answered ${status}`;
  if (headers['x-injected'] !== undefined) return 'a header was injected';
  if (touched.length > 0 && !isValid(route, request))
    return `an invalid request reached ${touched.join(', ')}`;
  const { responses } = operationOf(route);
  const declared = responses[String(status)];
  // The path itself may have become another route's, or none's.
  if (declared === undefined)
    return strayed(status) ? undefined : `answered ${status}, which is not declared`;
  const media = String(headers['content-type'] ?? '').split(';')[0] ?? '';
  if (text === '' || !complete) return undefined;
  if (media === 'application/x-ndjson') return lastLineFault(text);
  const schema = declared.content?.[media]?.schema;
  if (schema === undefined) return `answered ${status} as ${media || 'nothing'}, which is not declared`;
  if (media !== 'application/json') return undefined;
  const problem = problemOf(schema, JSON.parse(text));
  return problem && `answered ${status} with what does not fit: ${problem}`;
}

function strayed(status: number): boolean {
  return [404, 405, 431].includes(status);
}

function lastLineFault(text: string): string | undefined {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  const { error } = JSON.parse(line) as { error?: { code: string; message: string } };
  return error?.code === 'internal' ? `ended with ${error.message}` : undefined;
}

/** Whether body and query fit the document. */
function isValid(route: Route, { json, query, body, headers }: FuzzRequest): boolean {
  const { parameters, requestBody } = operationOf(route);
  const schema = requestBody?.content['application/json']?.schema;
  if (schema !== undefined) {
    const empty = (body?.byteLength ?? 0) === 0 || json?.value === null;
    if (json === undefined && !empty && headers['content-type'] === 'application/json')
      return isJsonFor(schema, body);
    if (json !== undefined && !empty && problemOf(schema, json.value) !== undefined) return false;
    if (empty && requestBody?.required === true) return false;
  }
  return query.every(([name, text]) => {
    const parameter = parameters.find((known) => known.in === 'query' && known.name === name);
    return parameter === undefined || fitsText(parameter.schema, text);
  });
}

/** Noise may be what is asked for by chance. */
function isJsonFor(schema: Schema, body: Uint8Array | undefined): boolean {
  try {
    return (
      problemOf(schema, JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))) === undefined
    );
  } catch {
    return false;
  }
}

function fitsText(schema: Schema, text: string): boolean {
  if (schema.type === 'boolean') return ['true', 'false', '1', '0'].includes(text);
  if (schema.type === 'integer' || schema.type === 'number')
    return /^-?\d+(\.\d+)?$/.test(text) && problemOf(schema, Number(text)) === undefined;
  if (schema.items !== undefined) return fitsText(schema.items, text);
  // Maps have keys in brackets: a text alone is refused.
  return schema.type === 'object' ? false : problemOf(schema, text) === undefined;
}
