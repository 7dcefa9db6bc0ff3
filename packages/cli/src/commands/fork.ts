import { defineCommand } from '../command.ts';
import { printCopies } from '../copies.ts';
import { type CopyFlags, copyOptions, parseCopies } from '../flags/copies.ts';

export const command = defineCommand<CopyFlags & { unsafeIdentity?: boolean }>({
  arguments: '<name>',
  completes: ['instance', 'none'],
  options(parser) {
    copyOptions(parser, 'the source')
      .option('--unsafe-identity', 'copy a guest whose agent does not answer; its copies believe to be it')
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print the copies as JSON, a line for each');
  },
  notes: [
    'All copies are the same instant of the source: its processes go on in them from where they were, and it pauses for a moment. Each ' +
      'has a name, address, machine-id, keys and random numbers of its own before anything in it runs (docs/copies.md).',
  ],
  examples: [
    ['viv fork web', 'one copy, as web is'],
    ["viv fork web --count 10 --name 'web-%d' --running", 'ten that run'],
    ['viv fork web --stopped', 'its disk only'],
  ],
  async run(context, [name = ''], flags) {
    const options = parseCopies(flags);
    if (flags.unsafeIdentity) options.unsafeIdentity = true;
    const vm = await (await context.vivarium()).get(name);
    return printCopies(context, flags, (call) => vm.fork({ ...options, ...call }));
  },
});
