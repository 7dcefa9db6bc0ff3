import Type, { type Static } from 'typebox';
import { Time } from './basic.ts';
import { ErrorBody } from './error.ts';

export const OperationStateName = Type.Enum(['pending', 'running', 'done', 'undone', 'failed', 'cancelled'], {
  description:
    'pending: waits for another one. undone: failed, and taken back; cancelled: the same because somebody wanted it. failed: something is left.',
});

export const Resource = Type.Object({
  kind: Type.String({
    description: 'instance, image, volume, snapshot, template, pool, operation, daemon, log; more may come.',
  }),
  id: Type.String(),
  name: Type.String(),
});

export const Operation = Type.Object(
  {
    id: Type.String(),
    action: Type.String(),
    state: OperationStateName,
    instance_id: Type.Optional(Type.String({ description: 'Absent as long as there is no instance.' })),
    resource: Type.Optional(Resource),
    parent: Type.Optional(Type.String({ description: 'The operation that it is a part of.' })),
    background: Type.Optional(Type.Boolean({ description: 'Nobody has to stay for it.' })),
    step: Type.Optional(Type.String({ description: 'For people.' })),
    progress: Type.Optional(Type.Unknown({ description: 'The newest stage; not kept when it has ended.' })),
    started_at: Time,
    ended_at: Type.Optional(Time),
    outcome: Type.Optional(
      Type.Enum(['done', 'undone', 'failed'], {
        description: 'Absent while it is under way. One that was cancelled is undone.',
      }),
    ),
    error: Type.Optional(ErrorBody),
    result: Type.Optional(Type.Array(Resource, { description: 'What came out of it.' })),
    request_id: Type.Optional(Type.String({ description: 'Of the request that asked for it.' })),
  },
  { $id: 'Operation' },
);
export type Operation = Static<typeof Operation>;
