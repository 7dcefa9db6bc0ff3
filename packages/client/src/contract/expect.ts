import assert from 'node:assert/strict';
import { type ErrorCode, VivError, type Vm } from '@vivarium/model';

/** The error a call ends with, which must be one of these. */
export async function failure(call: PromiseLike<unknown>, ...codes: ErrorCode[]): Promise<VivError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof VivError, `not a VivError: ${error}`);
    assert.ok(codes.includes(error.code), `${error.code} instead of ${codes.join(' or ')}: ${error.message}`);
    assert.ok(error.message.length > 0);
    return error;
  }
  return assert.fail(`succeeded instead of failing with ${codes.join(' or ')}`);
}

export async function collect<T>(items: AsyncIterable<T>, most = Number.POSITIVE_INFINITY): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) {
    all.push(item);
    if (all.length >= most) break;
  }
  return all;
}

/** A file of the guest as text. */
export async function read(vm: Vm, path: string): Promise<string> {
  return (await vm.files.readFile(path)).toString();
}
