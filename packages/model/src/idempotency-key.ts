import { VivError } from './errors.ts';

const pattern = /^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/;

/** @throws VivError `invalid_request` for what can be no idempotency key. @internal */
export function checkIdempotencyKey(key: string): void {
  if (pattern.test(key)) return;
  throw new VivError('invalid_request', 'Not an idempotency key', {
    hint: '1 to 255 printable ASCII characters, no space at either end.',
  });
}
