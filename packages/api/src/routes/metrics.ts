import type { RouteRule } from './route.ts';

export const metricRules = {
  metrics: {
    summary: 'What Prometheus wants to know; see docs/observability.md',
    tag: 'system',
    scope: 'metrics:read',
    origin: 'vivarium',
    status: 200,
    answer: { media: 'text/plain', description: 'Text format 0.0.4.' },
    errors: [],
  },
} satisfies Record<string, RouteRule>;
