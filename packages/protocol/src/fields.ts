import type { Body } from './cbor.ts';
import { ProtocolError } from './protocol-error.ts';

/**
 * A map that the other side sent, read with checks: every getter throws {@link ProtocolError} `invalid_field` naming the
 * field where it is missing or of another type. Unknown keys are never looked at.
 */
export class Fields {
  readonly #body: Body;
  readonly #where: string;

  constructor(body: unknown, where: string) {
    if (typeof body !== 'object' || body === null || Array.isArray(body) || body instanceof Uint8Array) {
      throw new ProtocolError('invalid_field', `${where} is not a map`);
    }
    this.#body = body as Body;
    this.#where = where;
  }

  has(key: string): boolean {
    return this.#get(key) !== undefined;
  }

  text(key: string): string {
    const value = this.#get(key);
    return typeof value === 'string' ? value : this.#fail(key, 'a text');
  }

  optionalText(key: string): string | undefined {
    return this.has(key) ? this.text(key) : undefined;
  }

  bool(key: string): boolean {
    const value = this.#get(key);
    return typeof value === 'boolean' ? value : this.#fail(key, 'a boolean');
  }

  optionalBool(key: string): boolean | undefined {
    return this.has(key) ? this.bool(key) : undefined;
  }

  /** Any finite number. */
  number(key: string): number {
    const value = this.#get(key);
    return typeof value === 'number' && Number.isFinite(value) ? value : this.#fail(key, 'a finite number');
  }

  /** A whole number from 0 that a JavaScript number holds exactly (below 2^53). */
  uint(key: string): number {
    const value = this.#get(key);
    return isUint(value) ? value : this.#fail(key, 'a whole number from 0 to 2^53');
  }

  optionalUint(key: string): number | undefined {
    return this.has(key) ? this.uint(key) : undefined;
  }

  /** A whole number of 64 bits, whatever its sign. */
  bigint(key: string): bigint {
    const value = this.#get(key);
    if (typeof value === 'bigint') return value;
    return Number.isSafeInteger(value) ? BigInt(value as number) : this.#fail(key, 'a whole number');
  }

  optionalBigint(key: string): bigint | undefined {
    return this.has(key) ? this.bigint(key) : undefined;
  }

  bytes(key: string): Uint8Array {
    const value = this.#get(key);
    return value instanceof Uint8Array ? value : this.#fail(key, 'a byte string');
  }

  map(key: string): Fields {
    return new Fields(this.#get(key), `${this.#where}.${key}`);
  }

  optionalMap(key: string): Fields | undefined {
    return this.has(key) ? this.map(key) : undefined;
  }

  maps(key: string): Fields[] {
    return this.#list(key).map((value, index) => new Fields(value, `${this.#where}.${key}[${index}]`));
  }

  texts(key: string): string[] {
    return this.#list(key).map((value) =>
      typeof value === 'string' ? value : this.#fail(key, 'a list of texts'),
    );
  }

  uints(key: string): number[] {
    return this.#list(key).map((value) =>
      isUint(value) ? value : this.#fail(key, 'a list of whole numbers'),
    );
  }

  /** A map from text to text. */
  textMap(key: string): Record<string, string> {
    const entries = Object.entries(this.map(key).#body);
    const wrong = entries.some(([, value]) => typeof value !== 'string');
    // A map without a prototype: `__proto__` is a name like any other.
    const result: Record<string, string> = Object.create(null);
    for (const [name, value] of wrong ? this.#fail(key, 'a map of texts') : entries)
      result[name] = value as string;
    return result;
  }

  #list(key: string): unknown[] {
    const value = this.#get(key);
    return Array.isArray(value) ? value : this.#fail(key, 'a list');
  }

  /** Own keys only, and null counts as absent. */
  #get(key: string): unknown {
    return Object.hasOwn(this.#body, key) ? (this.#body[key] ?? undefined) : undefined;
  }

  #fail(key: string, wanted: string): never {
    throw new ProtocolError('invalid_field', `${this.#where}: ${key} is not ${wanted}`);
  }
}

function isUint(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
