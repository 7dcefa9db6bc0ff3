/** A test for what has all of these tags; without any, for anything. @internal */
export function withTags(
  tags: Readonly<Record<string, string>> = {},
): (has: Readonly<Record<string, string>> | undefined) => boolean {
  const wanted = Object.entries(tags);
  return (has) => wanted.every(([key, value]) => has?.[key] === value);
}
