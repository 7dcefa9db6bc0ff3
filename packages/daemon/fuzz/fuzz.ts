import type { Route } from '@vivarium/api';
import fc from 'fast-check';
import { fuzzed } from './document.ts';
import { type FuzzHouse, openFuzzHouse } from './house.ts';
import { faultOf } from './judge.ts';
import { requestsFor } from './requests.ts';

/** Routes that may wait for what never happens: their client leaves, which is a part of the test. Milliseconds. */
const waiting: Partial<Record<Route['name'], number>> = {
  waitInstance: 100,
  acquireInstance: 100,
  createPool: 1500,
};
const patienceMs = 15_000;
/** After so many requests what they made is removed. */
const tidyEvery = 40;

/**
 * Asks every route of the OpenAPI document many things, and rejects with a wrong answer of each route that gave some, what it
 * was the answer to (made small), and the seed that repeats it.
 */
export async function fuzzRoutes(options: {
  runs: number;
  seed: number;
  routes?: readonly Route[];
  onRoute?: (name: string) => void;
}): Promise<number> {
  const { runs, seed, routes = fuzzed, onRoute } = options;
  await using house = await openFuzzHouse();
  let asked = 0;
  const faults: string[] = [];
  for (const route of routes) {
    onRoute?.(route.name);
    await house.tidy();
    const property = fc.asyncProperty(requestsFor(route), async (request) => {
      if (++asked % tidyEvery === 0) await house.tidy();
      await askOnce(house, route, request);
    });
    const result = await fc.check(property, { numRuns: runs, seed });
    if (result.failed) faults.push(`${String(result.errorInstance)}\n  again: seed ${seed}`);
    const health = { method: 'GET', target: '/health', headers: {}, query: [] };
    if ((await house.send(health, patienceMs)).status !== 200) throw new Error('the daemon is not well');
  }
  if (faults.length > 0) throw new Error(faults.join('\n\n'));
  return asked;
}

async function askOnce(
  house: FuzzHouse,
  route: Route,
  request: Parameters<FuzzHouse['send']>[0],
): Promise<void> {
  const impatient = waiting[route.name];
  house.taken();
  const answer = await house.send(request, impatient ?? patienceMs).catch((error: unknown) => {
    if (impatient !== undefined && /no answer/.test((error as Error).message)) return undefined;
    throw error;
  });
  if (answer === undefined) return;
  const fault = faultOf(route, request, answer, house.taken());
  if (fault !== undefined)
    throw new Error(
      `${route.name} ${fault}\n${request.method} ${request.target}\n${answer.text.slice(0, 500)}`,
    );
}
