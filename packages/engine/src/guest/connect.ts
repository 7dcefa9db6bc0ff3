import type { Duplex } from 'node:stream';
import { abortable } from './abort.ts';
import { AgentGuest, WorkloadExits } from './agent-guest.ts';
import { BulkChannel } from './bulk-channel.ts';
import { GuestChannel } from './channel.ts';
import type { ConnectGuest, Guest } from './guest.ts';
import { channelError } from './guest-errors.ts';

/**
 * Greets the agent on the control channel at once and answers when it does, also where the guest still boots; the signal
 * is the only deadline. The bulk channel is opened when first needed and again when it broke. Another connection to the
 * same guest takes it over: its sessions live on, streams of the one before are gone.
 *
 * @throws VivError `agent_unreachable`, `protocol_error`, `not_supported` (an agent of another protocol version),
 * `timeout` or `cancelled` as the signal says.
 */
export const connectGuest: ConnectGuest = async (open, signal): Promise<Guest> => {
  const duplex = await abortable(open('control'), signal, (late: Duplex) => late.destroy()).catch((error) => {
    throw channelError('control', error);
  });
  const exits = new WorkloadExits();
  const { channel, welcome } = await GuestChannel.greet('control', duplex, {
    signal,
    onEvent: (event) => exits.take(event),
  });
  const bulk = new BulkChannel(() => open('bulk'));
  channel.closed.then(() => bulk.close(channel.failure));
  return new AgentGuest(welcome, channel, bulk, exits);
};
