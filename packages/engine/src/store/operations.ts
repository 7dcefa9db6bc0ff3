import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { ErrorRecord, EventResource, OperationReport, OperationState } from '@vivarium/model';
import { type Outcome, stateOf } from './journal.ts';

interface Row {
  id: string;
  action: string;
  at: string;
  instance_id: string | null;
  resource: string | null;
  parent: string | null;
  background: number;
  request_id: string | null;
  ended_at: string | null;
  outcome: Outcome | null;
  error: string | null;
  result: string | null;
}

/** Which operations, with the instance's id looked up. */
export interface Wanted {
  instanceId?: string;
  states?: readonly OperationState[];
  actions?: readonly string[];
  /** From behind this one: when it was asked for, and its id. */
  after?: { at: string; id: string };
  limit: number;
}

const cancelled = `outcome = 'undone' AND json_extract(error, '$.code') = 'cancelled'`;
/** How a state is found in what is stored. Whether one that has not ended waits only this process knows. */
const stored: Record<OperationState, string> = {
  pending: 'ended_at IS NULL',
  running: 'ended_at IS NULL',
  done: `outcome = 'done'`,
  undone: `outcome = 'undone' AND coalesce(json_extract(error, '$.code'), '') != 'cancelled'`,
  failed: `outcome = 'failed'`,
  cancelled,
};

/** An operation of an instance that was asked for by a request is one with it; what that has not written yet, the other has. */
const requests = `
  SELECT r.id, r.action, r.asked_at AS at, coalesce(r.instance_id, o.instance_id) AS instance_id, r.resource,
    NULL AS parent, r.background, r.request_id, coalesce(r.ended_at, o.ended_at) AS ended_at,
    coalesce(r.outcome, o.outcome) AS outcome, coalesce(r.error, o.error) AS error, r.result
  FROM tasks r LEFT JOIN operations o ON o.id = r.id`;
const operations = `
  SELECT id, action, started_at AS at, instance_id, NULL AS resource,
    CASE WHEN parent IN (SELECT id FROM tasks) THEN parent END AS parent, 0 AS background, NULL AS request_id,
    ended_at, outcome, error, NULL AS result
  FROM operations WHERE id NOT IN (SELECT id FROM tasks)`;

/** What the journal and the requests say together. Reads only. */
export class StoredOperations {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  find(id: string): OperationReport | undefined {
    const row = this.#database
      .prepare(
        `SELECT * FROM (${requests}) WHERE id = ?1 UNION ALL SELECT * FROM (${operations}) WHERE id = ?1`,
      )
      .get(id);
    return row && toReport(row as unknown as Row);
  }

  /** Whether an operation of an instance has that id and has not ended. */
  isOpen(id: string): boolean {
    return (
      this.#database.prepare('SELECT 1 FROM operations WHERE id = ? AND ended_at IS NULL').get(id) !==
      undefined
    );
  }

  /** Parts of one, oldest first. */
  partsOf(id: string): OperationReport[] {
    const rows = this.#database
      .prepare(`SELECT * FROM (${operations}) WHERE parent = ? ORDER BY at, id`)
      .all(id);
    return rows.map((row) => toReport(row as unknown as Row));
  }

  /** Newest first. Each half is cut to its page by its index before they are put together. */
  list({ instanceId, states, actions, after, limit }: Wanted): OperationReport[] {
    const parameters: Record<string, SQLInputValue> = { limit };
    const conditions: string[] = [];
    if (instanceId !== undefined) {
      conditions.push('instance_id = :instance');
      parameters.instance = instanceId;
    }
    if (actions !== undefined) {
      conditions.push('action IN (SELECT value FROM json_each(:actions))');
      parameters.actions = JSON.stringify(actions);
    }
    if (states !== undefined)
      conditions.push(`(${states.map((state) => `(${stored[state]})`).join(' OR ') || '0'})`);
    if (after !== undefined) {
      conditions.push('(at < :at OR at = :at AND id < :id)');
      Object.assign(parameters, after);
    }
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    const half = (from: string) =>
      `SELECT * FROM (SELECT * FROM (${from}) ${where} ORDER BY at DESC, id DESC LIMIT :limit)`;
    const sql = `SELECT * FROM (${half(requests)} UNION ALL ${half(operations)}) ORDER BY at DESC, id DESC LIMIT :limit`;
    return this.#database
      .prepare(sql)
      .all(parameters)
      .map((row) => toReport(row as unknown as Row));
  }
}

function toReport(row: Row): OperationReport {
  const error = row.error === null ? undefined : (JSON.parse(row.error) as ErrorRecord);
  const instance = row.instance_id === null ? undefined : { kind: 'instance', id: row.instance_id, name: '' };
  const present = {
    resource: row.resource === null ? instance : (JSON.parse(row.resource) as EventResource),
    parent: row.parent ?? undefined,
    background: row.background === 1 || undefined,
    endedAt: row.ended_at ?? undefined,
    error,
    result: row.result === null ? undefined : (JSON.parse(row.result) as EventResource[]),
    requestId: row.request_id ?? undefined,
  };
  const known = Object.entries(present).filter(([, value]) => value !== undefined);
  return {
    id: row.id,
    action: row.action,
    state: row.outcome === null ? 'running' : stateOf(row.outcome, error),
    startedAt: row.at,
    ...Object.fromEntries(known),
  };
}
