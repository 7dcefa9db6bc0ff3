import { trace } from '@opentelemetry/api';
import { VivError } from '@vivarium/model';

/** What an exporter needs. They are 28 MB together, and few want them: not installed with Vivarium. */
const packages = [
  '@opentelemetry/sdk-trace-base',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
] as const;

/** Sends what is left, and ends. */
export type Telemetry = AsyncDisposable;

/**
 * Has the spans of operations sent by OTLP over HTTP, as OpenTelemetry's own variables say; undefined where
 * `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `_TRACES_` form) names nobody.
 *
 * @throws VivError `not_supported` where the packages are not installed.
 */
export async function openTelemetry(version: string, env = process.env): Promise<Telemetry | undefined> {
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT && !env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return undefined;
  const [sdk, exporter, resources] = await load();
  const resource = resources.resourceFromAttributes({
    'service.name': env.OTEL_SERVICE_NAME ?? 'vivd',
    'service.version': version,
  });
  const processor = new sdk.BatchSpanProcessor(new exporter.OTLPTraceExporter());
  const provider = new sdk.BasicTracerProvider({ resource, spanProcessors: [processor] });
  trace.setGlobalTracerProvider(provider);
  return {
    async [Symbol.asyncDispose]() {
      // Nobody may be there to take them any more.
      await provider.shutdown().catch(() => undefined);
      trace.disable();
    },
  };
}

async function load() {
  try {
    return await Promise.all([
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
    ]);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new VivError('not_supported', 'OTEL_EXPORTER_OTLP_ENDPOINT is set, and no exporter is installed', {
      hint: `Install it where Vivarium is: npm install ${packages.join(' ')}`,
      cause,
    });
  }
}
