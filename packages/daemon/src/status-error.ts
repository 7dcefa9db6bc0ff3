import { VivError } from '@vivarium/model';

/** An error with a status that the table has no code of its own for. */
export class StatusError extends VivError {
  readonly status: number;
  constructor(status: number, message: string, hint?: string) {
    super('invalid_request', message, { hint });
    this.status = status;
  }
}
