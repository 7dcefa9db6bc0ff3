import { defineCommand } from '../../command.ts';
import { daemonProcess } from '../../daemon-process.ts';
import { daemonStatus } from '../../daemon-status.ts';
import { ageOf } from '../../render/time.ts';

/** As init scripts answer: 3, the program is not running. */
const notRunning = 3;

export const command = defineCommand<{ json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--json', 'print JSON');
  },
  notes: ['The exit status is 3 where no daemon answers. Nothing is started.'],
  examples: [['viv daemon status --json', 'for a program']],
  async run(context, _args, flags) {
    const owner = daemonProcess(context.env);
    const status = await daemonStatus(context, await context.running());
    const { running, home, url } = status;
    if (flags.json) await context.printJson(status);
    else if (running) {
      const who = owner === undefined ? '' : `, pid ${owner.pid}, up ${ageOf(owner.since)}`;
      await context.print(`vivd runs for ${home}${who}${url === undefined ? '' : `, at ${url}`}\n`);
    } else if (owner === undefined) await context.print(`vivd does not run for ${home}\n`);
    else await context.print(`${owner.program}, pid ${owner.pid}, owns ${home}, but does not answer\n`);
    return running ? 0 : notRunning;
  },
});
