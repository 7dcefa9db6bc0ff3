import type { DatabaseSync } from 'node:sqlite';
import type { ErrorRecord, EventResource } from '@vivarium/model';
import type { Journal, Outcome } from './journal.ts';

/** What was asked for in the background, or is done to nothing that exists yet. */
export interface TaskRecord {
  id: string;
  action: string;
  /** RFC 3339. */
  askedAt: string;
  resource?: EventResource;
  background: boolean;
  requestId?: string;
}

export interface TaskEnd {
  /** RFC 3339. Default: now. */
  endedAt?: string;
  outcome: Outcome;
  error?: ErrorRecord;
  resource?: EventResource;
  result?: EventResource[];
}

interface Row {
  id: string;
  action: string;
  asked_at: string;
  resource: string | null;
  background: number;
  request_id: string | null;
}

/** Ends between two clearings-out. */
const forgetEvery = 1000;

/** Tasks, and how they ended. Each call is one transaction; what it wrote is on disk when it returns. */
export class TaskStore {
  readonly #journal: Journal;
  readonly #statements;
  readonly #keep: number;
  #ended = 0;

  /** `keep`: how many that have ended are held. Default 10,000. */
  constructor(database: DatabaseSync, journal: Journal, keep = 10_000) {
    this.#journal = journal;
    this.#keep = keep;
    this.#statements = {
      begin: database.prepare(
        `INSERT INTO tasks (id, action, asked_at, instance_id, resource, background, request_id)
          VALUES (?, ?, ?, ?, ?, ?, ?)`,
      ),
      end: database.prepare(
        `UPDATE tasks SET ended_at = ?, outcome = ?, error = ?, result = ?,
          resource = coalesce(?, resource), instance_id = coalesce(?, instance_id) WHERE id = ?`,
      ),
      detach: database.prepare('UPDATE tasks SET background = 1 WHERE id = ?'),
      open: database.prepare('SELECT * FROM tasks WHERE ended_at IS NULL ORDER BY asked_at'),
      forget: database.prepare(
        'DELETE FROM tasks WHERE ended_at IS NOT NULL AND rowid <= (SELECT max(rowid) FROM tasks) - ?',
      ),
    };
    this.#statements.forget.run(keep);
  }

  begin(request: TaskRecord): void {
    const { id, action, askedAt, resource, background, requestId } = request;
    const [instance, about] = [instanceOf(resource), text(resource)];
    this.#journal.transaction(() => {
      this.#statements.begin.run(id, action, askedAt, instance, about, background ? 1 : 0, requestId ?? null);
    }, false);
  }

  /** Its caller has left it to itself. */
  detach(id: string): void {
    this.#journal.transaction(() => this.#statements.detach.run(id), false);
  }

  end(id: string, { outcome, error, resource, result, endedAt }: TaskEnd): void {
    this.#journal.transaction(() => {
      const at = endedAt ?? new Date().toISOString();
      const about = [text(resource), instanceOf(resource)] as const;
      this.#statements.end.run(at, outcome, text(error), text(result), ...about, id);
    });
    this.#ended += 1;
    if (this.#ended % forgetEvery === 0) this.#statements.forget.run(this.#keep);
  }

  /** What a predecessor had not ended. */
  unfinished(): TaskRecord[] {
    return (this.#statements.open.all() as unknown as Row[]).map((row) => ({
      id: row.id,
      action: row.action,
      askedAt: row.asked_at,
      background: row.background === 1,
      ...(row.resource === null ? {} : { resource: JSON.parse(row.resource) as EventResource }),
      ...(row.request_id === null ? {} : { requestId: row.request_id }),
    }));
  }
}

const text = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
const instanceOf = (resource: EventResource | undefined): string | null =>
  resource?.kind === 'instance' ? resource.id : null;
