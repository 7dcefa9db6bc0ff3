/** How one error code is answered: HTTP status, process exit status, and whether trying again can help. */
export interface ErrorRule {
  /** HTTP status of the answer. */
  readonly status: number;
  /** Exit status of `viv` when the command ends with this error. */
  readonly exit: number;
  /** True when the same call may succeed later without anything being changed. */
  readonly retryable: boolean;
  /** One sentence for the documentation. */
  readonly meaning: string;
}

const rule = (status: number, exit: number, meaning: string, retryable = false): ErrorRule => ({
  status,
  exit,
  retryable,
  meaning,
});

/**
 * Every error Vivarium can give, and how each door answers it. HTTP answers, exit statuses and
 * `docs/errors.md` are made from this table.
 */
export const errorTable = {
  // What the caller said.
  invalid_request: rule(400, 2, 'The request is malformed or a field has a wrong value.'),
  invalid_name: rule(
    400,
    2,
    'A name does not match ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ or is over 63 characters.',
  ),
  invalid_size: rule(400, 2, 'A size is not a number of bytes or a number with a unit, or is out of range.'),
  invalid_reference: rule(400, 2, 'An image reference cannot be parsed.'),
  unauthorized: rule(401, 77, 'No credentials, or credentials that are not accepted.'),
  forbidden: rule(403, 77, 'The credentials do not allow this action.'),
  not_found: rule(
    404,
    4,
    'No instance, image, snapshot, template, pool, volume or session has that id or name.',
  ),
  log_not_found: rule(404, 4, 'That log does not exist yet.'),
  path_not_found: rule(404, 4, 'No such file or directory inside the guest, or on this machine.'),
  ambiguous: rule(409, 5, 'An id prefix fits more than one instance, snapshot or volume.'),
  name_conflict: rule(
    409,
    5,
    'Another instance has that name, or another snapshot of the same instance, another pool, or another volume.',
  ),
  invalid_state: rule(409, 5, 'The action is not allowed in the state the instance is in.'),
  busy: rule(409, 5, 'Another operation holds the instance; the message names it.', true),
  conflict: rule(409, 5, 'The thing is in use, or was changed by somebody else.'),
  port_in_use: rule(409, 5, 'A published port is taken by another process on this host.'),
  insufficient_resources: rule(409, 5, 'The host has not enough memory or CPU left for this instance.'),
  cancelled: rule(409, 130, 'The operation was cancelled by its caller or by another operation.'),
  request_timeout: rule(408, 75, 'The head or the body of a request did not come in time.', true),
  payload_too_large: rule(413, 2, 'The request body is larger than is accepted.'),
  rate_limited: rule(429, 75, 'Too many requests.', true),
  not_supported: rule(501, 69, 'This driver, host or version cannot do that.'),
  // Images.
  image_not_found: rule(404, 4, 'No such image, neither here nor in the registry.'),
  image_not_ready: rule(400, 75, 'The image is still being pulled.', true),
  image_invalid: rule(422, 65, 'The image is damaged: a digest, size, manifest or layer is wrong.'),
  image_hostile: rule(422, 65, 'A layer tries to write outside its root.'),
  registry_unreachable: rule(502, 69, 'The registry cannot be reached.', true),
  registry_denied: rule(502, 77, 'The registry refused the credentials.'),
  archive_invalid: rule(422, 65, 'An archive is truncated, damaged or of an unknown kind.'),
  archive_hostile: rule(
    422,
    65,
    'An archive has an entry that would be written outside its destination, or is a bomb.',
  ),
  // The guest.
  boot_failed: rule(500, 70, 'The guest did not come up; the message names the stage and shows the console.'),
  guest_panicked: rule(500, 70, 'The kernel of the guest panicked.'),
  agent_unreachable: rule(503, 69, 'The agent in the guest does not answer.', true),
  protocol_error: rule(502, 70, 'The guest sent something that is not the protocol.'),
  command_not_found: rule(422, 127, 'The command does not exist in the guest.'),
  command_not_executable: rule(422, 126, 'The command exists in the guest but cannot be executed.'),
  user_not_found: rule(422, 2, 'The user or group does not exist in the image.'),
  guest_error: rule(422, 70, 'The guest refused a request; the message carries its reason.'),
  // Saved states.
  saved_state_mismatch: rule(
    409,
    5,
    'Saved memory was made by another VMM, machine shape or kernel than the one at hand; nothing of it was touched.',
  ),
  saved_state_damaged: rule(
    422,
    65,
    'A file of a saved state is missing, short, or not what was saved; nothing of it was removed.',
  ),
  identity_unsafe: rule(
    409,
    5,
    'The guest can not be told that it is a copy, because its agent does not answer; it was not copied.',
  ),
  // The host.
  vmm_missing: rule(503, 69, 'QEMU is not installed, or too old.'),
  vmm_failed: rule(500, 70, 'The VMM exited or refused a command; the message shows its log.'),
  assets_missing: rule(503, 69, 'The kernel, the agent or the initramfs has not been built yet.'),
  disk_full: rule(507, 74, 'The file system that holds the data directory is full.'),
  data_dir_locked: rule(503, 75, 'Another process owns this data directory; the message names it.'),
  daemon_unreachable: rule(503, 69, 'vivd does not answer.', true),
  timeout: rule(504, 75, 'The deadline passed before the operation ended.', true),
  internal: rule(500, 70, 'A defect in Vivarium; the message is for its developers.'),
} as const satisfies Record<string, ErrorRule>;

/** The closed set of error codes. */
export type ErrorCode = keyof typeof errorTable;

/** Everything about an error beyond its code and message. */
export interface ErrorDetails {
  /** What the person can do about it, as one sentence. */
  readonly hint?: string;
  /** Evidence as plain data: console lines, the holding operation, the stage. Must survive JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** An error as it travels: over HTTP, into the journal, into the database. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class of Vivarium. */
export class VivError extends Error {
  override readonly name = 'VivError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, more: ErrorDetails = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.hint = more.hint;
    this.details = more.details;
  }

  /** How doors answer this error. */
  get rule(): ErrorRule {
    return errorTable[this.code];
  }

  toJSON(): ErrorRecord {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }

  /** The error behind a record; an unknown code becomes `internal` and keeps its message. */
  static fromRecord(record: { code: string; message: string; hint?: string; details?: unknown }): VivError {
    const known = Object.hasOwn(errorTable, record.code);
    const details =
      typeof record.details === 'object' && record.details !== null ? record.details : undefined;
    return new VivError(known ? (record.code as ErrorCode) : 'internal', record.message, {
      hint: record.hint,
      details: details as Record<string, unknown> | undefined,
    });
  }

  /** Any thrown value as a VivError; a VivError stays the same object. Node's ENOSPC becomes `disk_full`. */
  static from(error: unknown): VivError {
    if (error instanceof VivError) return error;
    if (error instanceof Error) {
      const errno = (error as NodeJS.ErrnoException).code;
      if (errno === 'ENOSPC' || errno === 'EDQUOT') {
        return new VivError('disk_full', `No space left: ${error.message}`, { cause: error });
      }
      if (error.name === 'AbortError')
        return new VivError('cancelled', 'The operation was cancelled.', { cause: error });
      if (error.name === 'TimeoutError')
        return new VivError('timeout', 'The deadline passed.', { cause: error });
      return new VivError('internal', error.message, { cause: error });
    }
    return new VivError('internal', String(error));
  }
}

/** True for a VivError with one of the given codes (any code when none is given). */
export function isVivError(error: unknown, ...codes: ErrorCode[]): error is VivError {
  return error instanceof VivError && (codes.length === 0 || codes.includes(error.code));
}

/** An abort as an error of ours: `timeout` stays one, a VivError too, all else is `cancelled`. */
export function abortReason({ reason }: AbortSignal): VivError {
  const error = VivError.from(reason);
  if (reason instanceof VivError || error.code !== 'internal') return error;
  return new VivError('cancelled', 'The operation was cancelled.', { cause: reason });
}
