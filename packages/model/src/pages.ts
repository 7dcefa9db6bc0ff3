import type { Page } from './instance.ts';

/** The items of a listing, page after page. @internal */
export async function* everyPage<T, Options extends object>(
  list: (options: Options & { cursor?: string }) => Promise<Page<T>>,
  options: Options,
): AsyncGenerator<T> {
  for (let cursor: string | undefined; ; ) {
    const page = await list({ ...options, cursor });
    yield* page.items;
    if (page.next === undefined) return;
    cursor = page.next;
  }
}
