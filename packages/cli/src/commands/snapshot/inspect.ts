import { defineCommand } from '../../command.ts';
import { printFound } from '../../render/template.ts';
import { pickSnapshot, snapshotsOf } from '../../snapshots.ts';

export const command = defineCommand<{ format?: string; json?: boolean }>({
  arguments: '<name> <snapshot...>',
  completes: ['instance', 'snapshot'],
  options(parser) {
    parser
      .option('-f, --format <template>', 'a line for each, as in {{.state}} {{.expiresAt}}')
      .option('--json', 'print JSON (it always does)');
  },
  notes: ['Prints one object for one snapshot, and an array for several.'],
  examples: [["viv snapshot inspect -f '{{.hasMemory}}' web snap1", 'one field']],
  async run(context, [name = '', ...wanted], { format }) {
    const source = await snapshotsOf(await context.vivarium(), name);
    const found = wanted.map((snapshot) => pickSnapshot(source, snapshot));
    await printFound(context, found, format);
    return 0;
  },
});
