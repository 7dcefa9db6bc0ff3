const steps = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** A duration in its largest unit: `3d`, `5h`, `12m`, `4s`. Below a second, and in clock skew: `0s`. */
export function formatAge(milliseconds: number): string {
  for (const [unit, size] of steps) {
    if (milliseconds >= size) return `${Math.floor(milliseconds / size)}${unit}`;
  }
  return '0s';
}

/** How long ago an RFC 3339 time was. */
export function ageOf(at: string, now = Date.now()): string {
  return formatAge(now - Date.parse(at));
}
