/** What was wrong with the bytes of the other side. */
export type ProtocolErrorReason =
  /** Not CBOR, not definite, too deep, or not a map with text keys. */
  | 'malformed'
  /** A field is missing or has another type than the message asks for. */
  | 'invalid_field'
  /** More bytes on a channel than were granted. */
  | 'window_overrun'
  /** A frame that has no place here: a stream never opened, a second response, data after the end. */
  | 'unexpected_frame'
  /** The other side speaks none of our versions. */
  | 'version';

/** The other side broke the protocol. Thrown for nothing else, so that it can be told from a defect of ours. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly reason: ProtocolErrorReason;

  constructor(reason: ProtocolErrorReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}
