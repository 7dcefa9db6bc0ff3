import { errorTable } from '@vivarium/model';
import Type, { type Static } from 'typebox';

/** hypeman's `{code, message}`, and what we add: what to do about it, and the evidence. */
export const ErrorBody = Type.Object(
  {
    code: Type.Enum(Object.keys(errorTable) as [string, ...string[]]),
    message: Type.String(),
    hint: Type.Optional(Type.String({ description: 'What a person can do about it.' })),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { $id: 'Error', description: 'Every failure of every route.' },
);
export type ErrorBody = Static<typeof ErrorBody>;
