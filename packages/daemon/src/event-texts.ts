import { eventToWire } from '@vivarium/api';
import type { EventOptions, InstanceEvent } from '@vivarium/model';

interface Texts {
  json: string;
  /** As a server-sent event. */
  sse: string;
}

/** Whoever keeps up is given the same objects by the engine: an event is written out once, whatever the number of readers. */
const texts = new WeakMap<InstanceEvent, Texts>();

export function textsOf(event: InstanceEvent): Texts {
  let found = texts.get(event);
  if (found === undefined) {
    const json = JSON.stringify(eventToWire(event));
    // No type has a line end in it: it would end the field.
    found = { json, sse: `id: ${event.seq}\nevent: ${event.type}\ndata: ${json}\n\n` };
    texts.set(event, found);
  }
  return found;
}

export interface EventQuery {
  since?: number;
  last_event_id?: number;
  instance?: string;
  type?: string[];
  kind?: string[];
  follow?: boolean;
}

export function eventOptions(query: EventQuery, since: number | undefined): EventOptions {
  const { instance, type: types, kind: kinds, follow } = query;
  return { since, instance, types, kinds, follow };
}
