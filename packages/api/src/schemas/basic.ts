import Type, { type TSchema } from 'typebox';

export const StringMap = Type.Record(Type.String(), Type.String());

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const Time = Type.String({ description: 'RFC 3339.' });

/** Bytes as hypeman writes them: a number with a unit. */
export const Size = Type.String({ description: 'A number with a unit of powers of 1024: 512MB, 1.5GB.' });

/** Hypeman also takes sizes as strings only; we take bytes as well. */
export const SizeInput = Type.Union([Type.String(), Type.Integer({ minimum: 0 })], {
  description: 'A number with a unit of powers of 1024 (512MB, 1.5GB), or bytes.',
});

export const Terminal = Type.Object({
  rows: Type.Integer({ minimum: 1, maximum: 10_000 }),
  cols: Type.Integer({ minimum: 1, maximum: 10_000 }),
});
