import {
  context,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type Context as Surroundings,
  trace,
} from '@opentelemetry/api';
import type { VivError } from '@vivarium/model';

/** What does not say who traces goes nowhere: without a provider every span is nothing at all. */
const tracer = trace.getTracer('vivarium');

/** An operation as a span, and each of its steps as one below it. */
export class OperationSpan {
  readonly #span: Span;
  readonly #surroundings: Surroundings;
  #step: Span | undefined;

  /** `parent`: the operation that it is a part of. `remote`: the caller's, out of its `traceparent`. */
  constructor(
    action: string,
    id: string,
    { parent, remote }: { parent?: OperationSpan; remote?: Surroundings },
  ) {
    const around = parent?.surroundings ?? remote ?? context.active();
    const attributes = { 'vivarium.operation.id': id, 'vivarium.operation.action': action };
    this.#span = tracer.startSpan(`vivarium.${action}`, { attributes }, around);
    this.#surroundings = trace.setSpan(around, this.#span);
  }

  get surroundings(): Surroundings {
    return this.#surroundings;
  }

  about(kind: string, id: string, name: string): void {
    this.#span.setAttributes({ [`vivarium.${kind}.id`]: id, [`vivarium.${kind}.name`]: name });
  }

  step(name: string): void {
    if (!this.#span.isRecording()) return;
    this.#step?.end();
    this.#step = tracer.startSpan(name, {}, this.#surroundings);
  }

  end(state: string, error?: VivError): void {
    this.#span.setAttribute('vivarium.operation.state', state);
    for (const span of [this.#step, this.#span]) {
      if (error !== undefined && span !== undefined) {
        span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
        span.setAttribute('vivarium.error.code', error.code);
      }
      span?.end();
    }
  }
}

/** W3C Trace Context; what is not in its form is nobody's. */
export function surroundingsOf(traceparent: string | undefined): Surroundings | undefined {
  const [, traceId, spanId, flags] =
    /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/.exec(
      traceparent ?? '',
    ) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}
