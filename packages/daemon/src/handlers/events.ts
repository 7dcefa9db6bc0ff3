import { lastEventHeader } from '@vivarium/api';
import type { InstanceEvent } from '@vivarium/model';
import type { Handler } from '../call.ts';
import { type EventQuery, eventOptions, textsOf } from '../event-texts.ts';
import { sinceOf, streamItems } from '../stream.ts';

export const events: Handler = async (call) => {
  const query = call.query as EventQuery;
  const since = sinceOf(call, query.last_event_id ?? query.since) ?? call.engine.lastEvent;
  call.headers[lastEventHeader] = String(since);
  const abort = new AbortController();
  // As many as there are go out in one piece: of a burst each of a thousand readers costs one write.
  const form = {
    line: (batch: readonly InstanceEvent[]) => batch.map((event) => `${textsOf(event).json}\n`).join(''),
    event: (batch: readonly InstanceEvent[]) => batch.map((event) => textsOf(event).sse).join(''),
  };
  const batches = call.engine.eventBatches({ ...eventOptions(query, since), signal: abort.signal });
  using _ = call.house.metrics.eventReader();
  return await streamItems(call, batches, form, abort);
};
