import { type Handler, sent } from '../call.ts';

/** Prometheus' text format. */
export const metrics: Handler = async ({ house, outgoing, headers }) => {
  const text = await house.metrics.text();
  outgoing.writeHead(200, {
    ...headers,
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  outgoing.end(text);
  return sent;
};
