import Type, { type Static } from 'typebox';
import { Nullable, Time } from './basic.ts';

export const AutoStandby = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ description: 'Default false.' })),
    idle_timeout: Type.Optional(
      Type.String({ description: 'A Go duration. Default: standby.idleTimeout of the configuration.' }),
    ),
    ignore_destination_ports: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }))),
    ignore_source_cidrs: Type.Optional(Type.Array(Type.String())),
    cpu_below: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 255,
        description: 'A guest that uses more of one CPU than this is not idle. Ours.',
      }),
    ),
  },
  { $id: 'AutoStandby' },
);
export type AutoStandby = Static<typeof AutoStandby>;

export const Wake = Type.Enum(['standby', 'always', 'never'], {
  description:
    'What use wakes: standby (default): an instance that was suspended for being idle; always: also one that somebody has suspended.',
});

/** hypeman's; from `uses` on ours. */
export const AutoStandbyStatus = Type.Object(
  {
    supported: Type.Boolean(),
    configured: Type.Boolean(),
    enabled: Type.Boolean(),
    eligible: Type.Boolean(),
    status: Type.Enum([
      'unsupported',
      'disabled',
      'ineligible',
      'active',
      'idle_countdown',
      'ready_for_standby',
      'standby_requested',
      'error',
    ]),
    reason: Type.Enum([
      'unsupported_platform',
      'policy_missing',
      'policy_disabled',
      'instance_not_running',
      'active_inbound_connections',
      'idle_timeout_not_elapsed',
      'observer_error',
      'ready_for_standby',
    ]),
    active_inbound_connections: Type.Integer(),
    tracking_mode: Type.String({ description: 'Who counts connections: the shim of each VM.' }),
    idle_timeout: Nullable(Type.String()),
    idle_since: Nullable(Time),
    next_standby_at: Nullable(Time),
    countdown_remaining: Nullable(Type.String()),
    hold_until: Nullable(Time),
    last_inbound_activity_at: Nullable(Time),
    uses: Type.Array(
      Type.Object({
        kind: Type.Enum([
          'exec',
          'attach',
          'tunnel',
          'console',
          'files',
          'connection',
          'operation',
          'session',
          'cpu',
        ]),
        count: Type.Integer(),
      }),
      { description: 'All that keeps it awake now.' },
    ),
    wake: Wake,
    error: Type.Optional(Type.String()),
  },
  { $id: 'AutoStandbyStatus' },
);
export type AutoStandbyStatus = Static<typeof AutoStandbyStatus>;
