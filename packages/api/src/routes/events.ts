import Type from 'typebox';
import type { RouteRule } from './route.ts';

const eventQuery = Type.Object({
  since: Type.Optional(Type.Integer({ minimum: 0, description: 'Only later ones. Default: from now.' })),
  last_event_id: Type.Optional(
    Type.Integer({
      minimum: 0,
      description:
        'As the header Last-Event-ID, which wins, for clients that cannot set one. Wins over since.',
    }),
  ),
  instance: Type.Optional(
    Type.String({ description: 'Id or name; of a deleted one its id, or the name it had last.' }),
  ),
  type: Type.Optional(Type.Array(Type.String(), { description: 'Repeatable; one must fit.' })),
  kind: Type.Optional(
    Type.Array(Type.String(), { description: 'Kinds of resource. Repeatable; one must fit.' }),
  ),
  follow: Type.Optional(
    Type.Boolean({ description: 'False: end with the newest stored one. Default true.' }),
  ),
});

export const eventRules = {
  events: {
    summary: 'Stored events, then new ones as they come; resumes after Last-Event-ID',
    tag: 'system',
    scope: 'instance:read',
    origin: 'vivarium',
    query: eventQuery,
    status: 200,
    answer: {
      media: 'text/event-stream',
      description: 'One event each: its sequence number as id, its type as event, JSON as data.',
    },
    alternative: { media: 'application/x-ndjson', description: 'One event per line.' },
    errors: ['not_found'],
  },
  eventsSocket: {
    summary: 'The same over a WebSocket: one text frame of JSON per event',
    tag: 'system',
    scope: 'instance:read',
    origin: 'vivarium',
    query: eventQuery,
    status: 101,
    errors: ['not_found'],
  },
} satisfies Record<string, RouteRule>;
