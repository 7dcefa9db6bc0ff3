/** As Promise.all does, but rejects only once all of them are over: nothing is made any more while it is being taken back. */
export async function allOver<T extends readonly unknown[] | []>(
  work: T,
): Promise<{ -readonly [P in keyof T]: Awaited<T[P]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
