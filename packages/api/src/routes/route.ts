import type { ErrorCode } from '@vivarium/model';
import type { TObject, TSchema } from 'typebox';
import { type EndpointName, endpoints, idempotentRoutes } from '../endpoints.ts';
import type { Scope } from '../scopes.ts';

/** A body or answer that is not JSON. */
export interface Bytes {
  readonly media:
    | 'application/x-tar'
    | 'application/gzip'
    | 'application/octet-stream'
    | 'text/event-stream'
    | 'application/x-ndjson'
    | 'text/html';
  readonly description: string;
}

/** Everything there is to say about one route; validation, documentation and types come from it. */
export interface RouteRule {
  readonly summary: string;
  readonly tag: 'system' | 'images' | 'instances' | 'guest' | 'copies' | 'pools' | 'volumes' | 'tokens';
  /** What a token needs for it; `public` needs none. */
  readonly scope: Scope | 'public';
  /** `hypeman`: unknown fields are ignored and named in a header. `vivarium`: they are refused. */
  readonly origin: 'hypeman' | 'vivarium';
  readonly query?: TObject;
  readonly body?: TSchema | Bytes;
  /** A JSON body may be left out altogether. */
  readonly bodyOptional?: boolean;
  readonly status: number;
  readonly answer?: TSchema | Bytes;
  /** The answer's other form, by `Accept`. */
  readonly alternative?: Bytes;
  /** With `Accept: application/x-ndjson`: stages as they come, then the result or the error. */
  readonly progress?: true;
  /** Beyond the ones any route may give. */
  readonly errors: readonly ErrorCode[];
}

export interface Route extends RouteRule {
  readonly name: EndpointName;
  readonly method: (typeof endpoints)[EndpointName][0];
  /** Segments in braces are parameters. */
  readonly path: string;
  /** It makes something, and takes an `Idempotency-Key`. */
  readonly idempotent: boolean;
}

export function isBytes(body: TSchema | Bytes): body is Bytes {
  return 'media' in body;
}

/** Puts the rules of a resource together with their method and path. */
export function routesOf<const T extends Partial<Record<EndpointName, RouteRule>>>(rules: T): Route[] {
  return (Object.entries(rules) as [EndpointName, RouteRule][]).map(([name, rule]) => ({
    ...rule,
    name,
    method: endpoints[name][0],
    path: endpoints[name][1],
    idempotent: idempotentRoutes.has(name),
  }));
}
