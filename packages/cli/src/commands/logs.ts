import { defineCommand } from '../command.ts';
import { write } from '../context.ts';
import { parseChoice, parseCount } from '../flags/values.ts';

interface LogFlags {
  follow?: boolean;
  tail?: string;
  source?: string;
  timestamps?: boolean;
  json?: boolean;
}

export const command = defineCommand<LogFlags>({
  arguments: '<name>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('-f, --follow', 'go on with new lines until the VM stops')
      .option('-n, --tail <lines>', 'only this many lines from the end (default: all)')
      .option(
        '--source <app|console|vmm|vivarium>',
        "the command's output, the serial console, QEMU or Vivarium (default: app)",
      )
      .option('-t, --timestamps', 'begin each line with its time')
      .option('--json', 'print JSON, a line for each');
  },
  examples: [
    ['viv logs -f web', 'what it prints, as it comes'],
    ['viv logs --source console --tail 50 web', 'the last lines of the kernel'],
  ],
  async run(context, [name = ''], flags) {
    const source = parseChoice(flags.source ?? 'app', '--source', [
      'app',
      'console',
      'vmm',
      'vivarium',
    ] as const);
    const tail =
      flags.tail === undefined || flags.tail === 'all' ? undefined : parseCount(flags.tail, '--tail', 0);
    const vm = await (await context.vivarium()).get(name);
    const lines = vm.logs({
      source,
      signal: context.signal,
      ...(tail === undefined ? {} : { tail }),
      ...(flags.follow ? { follow: true } : {}),
    });
    for await (const line of lines) {
      if (flags.json) await context.printJson(line, 'line');
      else {
        const prefix = flags.timestamps && line.at !== undefined ? `${line.at} ` : '';
        await write(line.stream === 'stderr' ? context.stderr : context.stdout, `${prefix}${line.text}\n`);
      }
    }
    return 0;
  },
});
