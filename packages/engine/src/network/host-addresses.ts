import { readFileSync } from 'node:fs';
import { addressToNumber, type Subnet } from './ipv4.ts';

/** Networks this host has routes to, out of /proc/net/route. The default route is no reason to avoid anything. */
export function parseRoutes(table: string): Subnet[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter((fields) => fields.length > 7)
    .map((fields) => ({ first: hostOrder(fields[1] ?? ''), prefix: prefixOf(hostOrder(fields[7] ?? '')) }))
    .filter(({ prefix }) => prefix > 0);
}

/** Name servers of this host, which a guest's subnet must not hide. */
export function parseNameServers(resolvConf: string): Subnet[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$/gm)].map((match) => ({
    first: addressToNumber(match[1] ?? ''),
    prefix: 32,
  }));
}

/** What the subnets of guests must not cover. Read anew each time: laptops move. */
export function hostAddresses(): Subnet[] {
  return [...parseRoutes(read('/proc/net/route')), ...parseNameServers(read('/etc/resolv.conf'))];
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** The kernel prints addresses as it holds them: little-endian. */
function hostOrder(hex: string): number {
  return addressToNumber([6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.'));
}

function prefixOf(mask: number): number {
  return mask.toString(2).replaceAll('0', '').length;
}
