import { type EventQuery, eventOptions, textsOf } from '../event-texts.ts';
import type { HouseSocketHandler } from './upgrade.ts';

/** Events as text frames. A reader that is slow is waited for, and has the store for what it has not read yet. */
export const eventsSocket: HouseSocketHandler = async ({ house, socket, query }) => {
  const asked = query as EventQuery;
  const signal = AbortSignal.any([socket.gone, house.closing]);
  const options = eventOptions(asked, asked.last_event_id ?? asked.since);
  // What it says is not listened to, but has to be taken: its close comes behind it.
  void ignore(socket);
  for await (const batch of house.engine.eventBatches({ ...options, signal }))
    for (const event of batch) await socket.send(textsOf(event).json);
  socket.close();
};

async function ignore(socket: Parameters<HouseSocketHandler>[0]['socket']): Promise<void> {
  for (;;) if ((await socket.next()) === undefined) return;
}
