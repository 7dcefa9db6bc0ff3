/** An IPv4 network: its first address as a number, and the length of its prefix. */
export interface Subnet {
  first: number;
  prefix: number;
}

export function addressToNumber(address: string): number {
  return address.split('.').reduce((number, byte) => number * 256 + Number(byte), 0);
}

export function numberToAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

export const subnetSize = (prefix: number): number => 2 ** (32 - prefix);

/** Of `10.1.2.0/24`. */
export function parseSubnet(text: string): Subnet {
  const [address = '', prefix = '32'] = text.split('/');
  return { first: addressToNumber(address), prefix: Number(prefix) };
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.first < b.first + subnetSize(b.prefix) && b.first < a.first + subnetSize(a.prefix);
}
