import { type ErrorCode, VivError } from '@vivarium/model';
import { ProtocolError, type WireError } from '@vivarium/protocol';

/** The codes a guest may use (docs/protocol.md). Any other becomes `guest_error`: a guest does not speak for the host. */
const guestCodes: ReadonlySet<string> = new Set<ErrorCode>([
  'command_not_found',
  'command_not_executable',
  'user_not_found',
  'path_not_found',
  'archive_invalid',
  'archive_hostile',
  'disk_full',
  'boot_failed',
  'invalid_request',
  'not_found',
  'conflict',
  'cancelled',
  'not_supported',
  'guest_error',
]);

const maxMessageLength = 4_096;

/** An error of the agent as ours. Its message may reach a terminal, so it is cut and freed of control characters. */
export function guestError(error: WireError): VivError {
  const known = guestCodes.has(error.code);
  const details = {
    ...(known ? {} : { guestCode: printable(error.code, 64) }),
    ...(error.errno === undefined ? {} : { errno: error.errno }),
    ...(error.stage === undefined ? {} : { stage: printable(error.stage, 64) }),
  };
  return new VivError(
    known ? (error.code as ErrorCode) : 'guest_error',
    printable(error.message, maxMessageLength),
    {
      details: Object.keys(details).length > 0 ? details : undefined,
    },
  );
}

/** A text of the guest as it may be shown: cut, and without control characters. */
export function printable(text: string, maxLength: number): string {
  return text.slice(0, maxLength).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '?');
}

/** What a broken conversation means to the calls that were under way in it. */
export function channelError(channel: string, cause: unknown): VivError {
  if (cause instanceof VivError) return cause;
  if (cause instanceof ProtocolError) {
    const code = cause.reason === 'version' ? 'not_supported' : 'protocol_error';
    return new VivError(code, `The ${channel} channel was closed: ${cause.message}.`, {
      cause,
      hint:
        code === 'not_supported'
          ? 'The agent in the guest is of another version; restart the instance.'
          : 'The guest may be damaged or hostile; restart the instance.',
    });
  }
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new VivError('agent_unreachable', `The ${channel} channel to the agent was lost${why}.`, {
    cause,
    hint: 'The guest may be paused, suspended or off; look at its state.',
  });
}

/** What an aborted signal means to a caller: its reason where that says why, else `cancelled`. */
export function abortError(signal: AbortSignal): VivError {
  const reason: unknown = signal.reason;
  if (reason instanceof VivError) return reason;
  if (reason instanceof Error && reason.name === 'TimeoutError') {
    return new VivError('timeout', 'The agent did not answer before the deadline.', { cause: reason });
  }
  return new VivError('cancelled', 'The call to the agent was cancelled.', { cause: reason });
}
