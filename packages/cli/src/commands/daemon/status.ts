import { daemonSocket, dataDir } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { daemonLog, daemonProcess } from '../../daemon-process.ts';
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
    const home = dataDir(context.env);
    const owner = daemonProcess(context.env);
    const answers = (await context.running()) !== undefined;
    if (flags.json) {
      const { pid, since } = owner ?? {};
      await context.printJson({
        running: answers,
        pid,
        since,
        home,
        socket: daemonSocket(home),
        log: daemonLog(context.env),
      });
    } else if (answers) {
      const who = owner === undefined ? '' : `, pid ${owner.pid}, up ${ageOf(owner.since)}`;
      await context.print(`vivd runs for ${home}${who}\n`);
    } else if (owner === undefined) await context.print(`vivd does not run for ${home}\n`);
    else await context.print(`${owner.program}, pid ${owner.pid}, owns ${home}, but does not answer\n`);
    return answers ? 0 : notRunning;
  },
});
