import Type, { type Static } from 'typebox';
import { Nullable, Time } from './basic.ts';

const duration = (what: string) => Type.Optional(Type.String({ description: `${what} A Go duration.` }));
const count = (what: string, minimum: number) =>
  Type.Optional(Type.Integer({ minimum, maximum: 1_000_000, description: what }));

export const RestartPolicy = Type.Object(
  {
    policy: Type.Optional(Type.Enum(['never', 'always', 'on_failure'], { description: 'Default never.' })),
    backoff: duration('Before each attempt; default 5s.'),
    max_attempts: count('In a row; 0, the default: no limit.', 0),
    stable_after: duration('Having run for so long, it has no attempts counted; default 10m.'),
  },
  { $id: 'RestartPolicy' },
);
export type RestartPolicy = Static<typeof RestartPolicy>;

export const RestartStatus = Type.Object(
  {
    attempts: Type.Optional(Type.Integer()),
    blocked_reason: Type.Optional(Nullable(Type.Enum(['manual_stop', 'max_attempts_exceeded']))),
    last_attempt_at: Type.Optional(Nullable(Time)),
    last_reason: Type.Optional(Nullable(Type.Literal('health_check_failed'))),
    next_attempt_at: Type.Optional(Nullable(Time)),
    last_error: Type.Optional(Type.String({ description: 'Why the last attempt did not start it.' })),
  },
  { $id: 'RestartStatus' },
);
export type RestartStatus = Static<typeof RestartStatus>;

const Port = Type.Integer({ minimum: 1, maximum: 65535 });

export const HealthCheck = Type.Object(
  {
    type: Type.Optional(Type.Enum(['none', 'http', 'tcp', 'exec'], { description: 'Default none.' })),
    http: Type.Optional(
      Type.Object({
        port: Port,
        path: Type.Optional(Type.String({ description: 'Default /.' })),
        scheme: Type.Optional(Type.Enum(['http', 'https'])),
        expected_status: Type.Optional(
          Type.Integer({ minimum: 100, maximum: 599, description: 'Default: 200 to 399.' }),
        ),
      }),
    ),
    tcp: Type.Optional(Type.Object({ port: Port })),
    exec: Type.Optional(
      Type.Object({ command: Type.Array(Type.String()), working_dir: Type.Optional(Type.String()) }),
    ),
    interval: duration('Default 10s.'),
    timeout: duration('Of one check; default 2s.'),
    start_period: duration('Failures do not count in it; default 30s.'),
    failure_threshold: count('Failures in a row; default 3.', 1),
    success_threshold: count('Successes in a row; default 1.', 1),
  },
  { $id: 'HealthCheck' },
);
export type HealthCheck = Static<typeof HealthCheck>;

export const HealthStatus = Type.Object(
  {
    status: Type.Enum(['disabled', 'starting', 'healthy', 'unhealthy', 'unknown']),
    consecutive_failures: Type.Integer(),
    consecutive_successes: Type.Integer(),
    last_checked_at: Type.Optional(Nullable(Time)),
    last_error: Type.Optional(Nullable(Type.String())),
    last_failure_at: Type.Optional(Nullable(Time)),
    last_success_at: Type.Optional(Nullable(Time)),
    last_output: Type.Optional(Type.String({ description: 'Of the last check, at most 4 KiB.' })),
  },
  { $id: 'HealthStatus' },
);
export type HealthStatus = Static<typeof HealthStatus>;

const Autostart = Type.Object({
  priority: Type.Optional(Type.Integer({ description: 'The highest is started first. Default 0.' })),
  delay: duration('Before the next one is started; default 0s.'),
});

const Logs = Type.Object({
  max_bytes: Type.Optional(Type.Integer({ minimum: 4096, description: 'Of one file. Default 10 MiB.' })),
  keep: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 100, description: 'Full files that are kept. Default 1.' }),
  ),
});

/** hypeman's fields for what keeps an instance going; `autostart` and `logs` are ours. */
export const serviceFields = {
  restart_policy: Type.Optional(RestartPolicy),
  health_check: Type.Optional(HealthCheck),
  ttl: Type.Optional(Type.String({ description: 'From now on, a Go duration. 0s: never.' })),
  expires_at: Type.Optional(Type.String({ description: 'RFC 3339, in the future; not beside ttl.' })),
  autostart: Type.Optional(Autostart),
  logs: Type.Optional(Logs),
};
export type ServiceFields = Static<ReturnType<typeof serviceObject>>;
const serviceObject = () => Type.Object(serviceFields);

/** What an instance shows of it. */
export const serviceAnswer = {
  restart_policy: Type.Optional(RestartPolicy),
  restart_status: Type.Optional(RestartStatus),
  health_check: Type.Optional(HealthCheck),
  health_status: Type.Optional(HealthStatus),
  autostart: Type.Optional(Autostart),
  logs: Type.Optional(Logs),
  pending_changes: Type.Optional(
    Type.Array(Type.Enum(['env', 'logs']), {
      description: 'Changed since its workload was started; in effect from the next start on.',
    }),
  ),
};
export type ServiceAnswer = Static<ReturnType<typeof answerObject>>;
const answerObject = () => Type.Object(serviceAnswer);
