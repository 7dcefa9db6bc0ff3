import { referencePage } from '@vivarium/api';
import { type Handler, sent } from '../call.ts';

export const docs: Handler = async ({ house, outgoing }) => {
  const page = Buffer.from(referencePage(house.version));
  outgoing.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': page.byteLength,
    // Nothing but what is in the page itself, and nobody puts it into a frame.
    'content-security-policy':
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-cache',
  });
  outgoing.end(page);
  return sent;
};
