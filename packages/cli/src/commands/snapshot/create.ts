import { defineCommand, repeat } from '../../command.ts';
import { parseTags } from '../../flags/values.ts';
import { forOne } from '../../render/progress.ts';

export const command = defineCommand<{ expires?: string; label?: string[]; quiet?: boolean; json?: boolean }>(
  {
    arguments: '<name> [snapshot]',
    completes: ['instance', 'none'],
    options(parser) {
      parser
        .option(
          '--expires <when>',
          'remove it by itself then: a span as in 30M or 1d 3H, or an RFC 3339 time (default: never)',
        )
        .option('-l, --label <key=value>', 'tag the snapshot', repeat)
        .option('-q, --quiet', 'no progress')
        .option('--json', 'print the snapshot as JSON');
    },
    notes: [
      'Keeps the disk, and the memory where the VM is not stopped; one that runs pauses for a moment. The name may have a %d for the lowest ' +
        'number that is free (default: snap%d). Units of a span: S seconds, M minutes, H hours, d days, w weeks, m months, y years.',
    ],
    examples: [
      ['viv snapshot create web', 'the next of snap1, snap2, …'],
      ["viv snapshot create web before-upgrade --expires '1d 3H'", 'under a name, and not for ever'],
    ],
    async run(context, [name = '', snapshot], { expires, label, ...flags }) {
      const vm = await (await context.vivarium()).get(name);
      const made = await forOne(
        context,
        [],
        flags,
      )((call) =>
        vm.snapshots.create({
          ...call,
          ...(snapshot === undefined ? {} : { name: snapshot }),
          ...(expires === undefined ? {} : { expires }),
          ...(label === undefined ? {} : { tags: parseTags(label, '--label') }),
        }),
      );
      await (flags.json ? context.printJson(made) : context.print(`${made.name}\n`));
      return 0;
    },
  },
);
