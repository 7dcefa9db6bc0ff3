import { run } from '../../packages/engine/src/setup/command.ts';

export const hello = `
#include <stdio.h>
int main(void) { return puts("hello from an image") < 0; }
`;

/**
 * Does with POPCNT and SSE4.2's CRC32 what only x86-64-v2 has: on an older CPU model it dies of SIGILL.
 * 0xe3069283 is the check value of CRC-32C over "123456789".
 */
export const needsV2 = `
#include <nmmintrin.h>
#include <stdio.h>
int main(int argc, char **argv) {
  (void)argv;
  unsigned crc = 0xffffffff;
  for (const char *digit = "123456789"; *digit; digit++) crc = _mm_crc32_u8(crc, *digit);
  int bits = _mm_popcnt_u64(0xf0f0f0f0f0f0f0f0ull ^ (unsigned)(argc - 1));
  if ((crc ^ 0xffffffff) != 0xe3069283 || bits != 32) return puts("wrong") < 0 || 1;
  return puts("OK") < 0;
}
`;

/** Compiles a C program into a static executable. */
export async function compile(source: string, destination: string, ...flags: string[]): Promise<void> {
  await run(['cc', '-x', 'c', '-', '-O2', '-static', '-s', ...flags, '-o', destination], {
    input: Buffer.from(source),
  });
}
