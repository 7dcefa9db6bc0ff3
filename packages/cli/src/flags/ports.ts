import { type PortRequest, VivError } from '@vivarium/model';

function wrong(spec: string, why: string): VivError {
  return new VivError('invalid_request', `Not a port to publish: ${JSON.stringify(spec)} (${why})`, {
    hint: 'Use [ADDRESS:][HOST-PORT:]GUEST-PORT, as in 8080:80, 80 or 127.0.0.1::80.',
  });
}

/** `80` or `8000-8005`; ends included. */
function parseRange(spec: string, text: string, lowest: number): [first: number, last: number] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) throw wrong(spec, `${JSON.stringify(text)} is not a port`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first < lowest || last > 65_535 || last < first) throw wrong(spec, `ports are ${lowest} to 65535`);
  return [first, last];
}

/**
 * A port as Docker writes it: `[ADDRESS:][HOST-PORT:]GUEST-PORT[/tcp]`, ports also as ranges of equal length. Without a
 * host port (or with 0) a free one is taken; without an address the engine's default, 127.0.0.1.
 */
export function parsePorts(spec: string): PortRequest[] {
  const match = /^(?:(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?([^:]*):)?([^:/]+)(?:\/([a-z]+))?$/.exec(spec);
  if (match === null) throw wrong(spec, 'it has another form');
  const [, address, hostText = '', guestText = '', transport = 'tcp'] = match;
  if (transport !== 'tcp') throw wrong(spec, 'only tcp can be published');
  const [guestFirst, guestLast] = parseRange(spec, guestText, 1);
  const host = hostText === '' ? undefined : parseRange(spec, hostText, 0);
  if (host !== undefined && host[1] - host[0] !== guestLast - guestFirst)
    throw wrong(spec, 'the ranges differ in length');
  const hostAddress = address?.replace(/^\[|\]$/g, '');
  return Array.from({ length: guestLast - guestFirst + 1 }, (_, offset) => ({
    ...(hostAddress ? { hostAddress } : {}),
    ...(host === undefined || host[0] === 0 ? {} : { hostPort: host[0] + offset }),
    guestPort: guestFirst + offset,
  }));
}
