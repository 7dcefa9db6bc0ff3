import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';
import { splitCommand } from '../flags/values.ts';
import { forOne } from '../render/progress.ts';

interface StartFlags extends ActionFlags {
  quiet?: boolean;
  cold?: boolean;
  entrypoint?: string;
}

export const command = defineCommand<StartFlags>({
  arguments: '<name...>',
  completes: ['instance'],
  commandAfterSeparator: true,
  options(parser) {
    parser
      .option('--cold', 'boot the guest, and give saved memory up once it is up')
      .option('--entrypoint <command>', 'another entrypoint, from now on; empty removes it')
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print what changed as JSON, a line for each');
  },
  notes: [
    'A suspended VM goes on where it was. Starting a VM that runs changes nothing and is no error. Without --cold, a boot may be ' +
      'replaced by a template: memory that was booted before.',
    'A command behind -- replaces the one before, for this start and those that follow. One that runs, or goes on from memory, ' +
      'has its command already, and is refused.',
  ],
  examples: [
    ['viv start web db', 'start two'],
    ['viv start --cold web', 'its saved memory is of no use any more'],
    ['viv start web -- httpd -f -p 81', 'with another command'],
  ],
  run: async (context, args, flags) => {
    const { names, words } = splitCommand(args);
    const { entrypoint } = flags;
    const override = {
      ...(words.length === 0 ? {} : { cmd: words }),
      ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
    };
    const act = forOne(context, names, flags);
    return actOnEach(context, names, flags, (vm) =>
      act((call) => vm.start({ ...call, ...(flags.cold ? { cold: true } : {}), ...override })),
    );
  },
});
