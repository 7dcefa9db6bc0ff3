import type { Guest } from '../guest/guest.ts';
import { createId } from '../ids.ts';

/** The agent's own program, which every guest has, however small its image: it prints its word and ends. */
const program = ['/proc/self/exe', '--nothing', 'ready'];

/**
 * Whoever acquires a VM begins with an exec, and the first one in a VM takes a way that nothing has taken before: 20 ms, where code
 * is translated cold. It is taken here once. No file is left of it, and no session; only the next process has a higher number.
 */
export async function rehearse(guest: Guest, signal: AbortSignal): Promise<void> {
  await guest.warm([], signal);
  const spec = { execId: `rehearsal-${createId()}`, target: 'root', argv: program, env: {}, stdin: false };
  const session = await guest.exec(spec, signal);
  try {
    for await (const _ of session.output);
    await session.exit;
  } finally {
    await session.close();
  }
}
