import { openApi, type Route, routes } from '@vivarium/api';

/** As much of JSON Schema as the document uses. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly properties?: Record<string, Schema>;
  readonly patternProperties?: Record<string, Schema>;
  readonly required?: string[];
  readonly items?: Schema;
  readonly anyOf?: Schema[];
  readonly enum?: unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
}

type Content = Record<string, { schema: Schema }>;

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly required: boolean;
  readonly schema: Schema;
}

export interface Operation {
  readonly operationId: string;
  readonly parameters: Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Record<string, { readonly content?: Content }>;
}

/** The document as a client sees it: JSON, with nothing of ours in it. */
export const document = JSON.parse(JSON.stringify(openApi('0.0.0'))) as {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

export function operationOf(route: Route): Operation {
  const method = route.method === 'WS' ? 'get' : route.method.toLowerCase();
  const operation = document.paths[route.path]?.[method];
  if (operation === undefined) throw new Error(`${route.name} is not in the document`);
  return operation;
}

export function resolve(schema: Schema): Schema {
  const name = schema.$ref?.slice('#/components/schemas/'.length);
  return name === undefined ? schema : (document.components.schemas[name] ?? {});
}

/** The routes that are fuzzed. What is left out is left out here, by name and with its reason. */
export const leftOut: Partial<Record<Route['name'], string>> = {};

export const fuzzed: readonly Route[] = routes.filter(({ name }) => !Object.hasOwn(leftOut, name));
