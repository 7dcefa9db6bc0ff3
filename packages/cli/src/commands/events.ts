import type { EventOptions } from '@vivarium/model';
import { defineCommand, repeat } from '../command.ts';
import { eventFilter } from '../flags/events.ts';
import { parseCount } from '../flags/values.ts';
import { eventLine } from '../render/events.ts';

interface Flags {
  since?: string;
  instance?: string;
  filter?: string[];
  follow?: boolean;
  json?: boolean;
}

export const command = defineCommand<Flags>({
  arguments: '',
  options(parser) {
    parser
      .option('--since <sequence-number>', 'stored events after this one (0: all that are held)')
      .option('-f, --follow', 'go on with new ones (the default without --since)')
      .option(
        '--filter <key=value>',
        'only instance=…, type=… or kind=…; several of one key: any of them',
        repeat,
      )
      .option('--instance <name>', 'short for --filter instance=…')
      .option('--json', 'print JSON, a line for each');
  },
  notes: [
    'Events are numbered and held: 100,000 of them. A daemon that goes is waited for, and nothing is missed or shown twice; where what ' +
      'was asked for is not held any more, a line of type gap says so.',
  ],
  examples: [
    ['viv events', 'from now on, until Ctrl-C'],
    ['viv events --since 0 --instance web', 'the whole story of one VM, also of one that has been deleted'],
    [
      'viv events --since 0 -f --filter kind=image --filter kind=pool --json',
      'images and pools, for a program',
    ],
  ],
  async run(context, _args, flags) {
    const filters = [...(flags.filter ?? []), ...(flags.instance ? [`instance=${flags.instance}`] : [])];
    const options: EventOptions = { ...eventFilter(filters), signal: context.signal };
    if (flags.since !== undefined) options.since = parseCount(flags.since, '--since', 0);
    options.follow = flags.follow ?? options.since === undefined;
    const vivarium = await context.vivarium();
    for await (const event of vivarium.events(options)) {
      if (flags.json) await context.printJson(event, 'line');
      else await context.print(`${eventLine({ ...event, about: aboutOf(event.resource) })}\n`);
    }
    return 0;
  },
});

/** A VM by its name alone, as everywhere; anything else with its kind. */
function aboutOf({ kind, name, id }: { kind: string; name: string; id: string }): string {
  return kind === 'instance' ? name : [kind, name || id].filter(Boolean).join(':');
}
