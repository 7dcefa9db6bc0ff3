import { type HypemanState, instanceToWire, nextPageHeader, statesBehind } from '@vivarium/api';
import type { State } from '@vivarium/lifecycle';
import type { InstanceInfo } from '@vivarium/model';
import { type Handler, JsonText } from '../call.ts';

/**
 * Most of a listing is as it was at the last one, and to write it out again was most of the time and all the garbage of a
 * page. The engine shows the same object only as long as the instance is the same; about a kilobyte is kept for each.
 */
const texts = new WeakMap<Readonly<InstanceInfo>, string>();

function textOf(info: Readonly<InstanceInfo>): string {
  let text = texts.get(info);
  if (text === undefined) {
    text = JSON.stringify(instanceToWire(info));
    texts.set(info, text);
  }
  return text;
}

export const listInstances: Handler = async (call): Promise<JsonText> => {
  const query = call.query as {
    state?: HypemanState;
    viv_state?: State[];
    tags?: Record<string, string>;
    limit?: number;
    cursor?: string;
  };
  const states = query.viv_state ?? (query.state && statesBehind(query.state));
  const filter = { states, tags: query.tags };
  const whole = query.limit === undefined && query.cursor === undefined;
  const found: string[] = [];
  const { limit = whole ? 1000 : undefined } = query;
  let { cursor } = query;
  do {
    const page = call.engine.listShared({ ...filter, limit, cursor });
    for (const info of page.items) found.push(textOf(info));
    cursor = page.next;
  } while (whole && cursor !== undefined);
  if (cursor !== undefined) call.headers[nextPageHeader] = cursor;
  return new JsonText(`[${found.join(',')}]`);
};
