import type { DatabaseSync } from 'node:sqlite';

/** Columns that later versions have added to tables that are there. An older program leaves them empty. */
const added: readonly (readonly [table: string, column: string, type: string])[] = [
  // Empty: the event is about an instance.
  ['events', 'kind', 'TEXT'],
  // The request that it is a part of.
  ['operations', 'parent', 'TEXT'],
];

export function addColumns(database: DatabaseSync): void {
  for (const [table, column, type] of added) {
    const known = database.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?').get(table, column);
    if (known === undefined) database.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
  }
  database.exec(
    'CREATE INDEX IF NOT EXISTS operations_by_parent ON operations (parent) WHERE parent IS NOT NULL',
  );
}
