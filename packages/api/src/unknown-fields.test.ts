import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import Type from 'typebox';
import { CreateInstance } from './index.ts';
import { refuseUnknown, unknownFields } from './unknown-fields.ts';

test('fields that nobody knows are found at any depth, and what is free stays free', () => {
  const body = {
    image: 'x',
    odd: 1,
    network: { enabled: true, speed: 3 },
    ports: [{ guest_port: 1 }, { guest_port: 2, color: 'red' }],
    tags: { anything: 'goes' },
    gpu: { unknown: { deep: true } },
    constructor: 1,
  };
  assert.deepEqual(unknownFields(CreateInstance, body), [
    'odd',
    'network.speed',
    'ports[1].color',
    'constructor',
  ]);
});

test('of a union every field is known, of lists in it too', () => {
  const schema = Type.Object({
    one: Type.Union([Type.Object({ a: Type.Integer() }), Type.Object({ b: Type.Integer() }), Type.Null()]),
    many: Type.Union([Type.Array(Type.Object({ a: Type.Integer() })), Type.Null()]),
  });
  assert.deepEqual(unknownFields(schema, { one: { a: 1, b: 1, c: 1 }, many: [{ a: 1, c: 1 }] }), [
    'one.c',
    'many[0].c',
  ]);
  assert.deepEqual(unknownFields(schema, { one: null, many: null }), []);
});

test('the hint is the nearest name where the field stands', () => {
  assert.throws(
    () => refuseUnknown(CreateInstance, { image: 'x', ports: [{ gest_port: 1 }] }, 'The body'),
    (error) =>
      isVivError(error, 'invalid_request') &&
      error.hint === 'Did you mean guest_port?' &&
      error.message.includes('ports[0].gest_port'),
  );
});
