import { type Exec, VivError } from '@vivarium/model';
import { defineCommand, repeat } from '../command.ts';
import { parseEnvironment } from '../flags/environment.ts';
import { parseChoice, withoutSeparator } from '../flags/values.ts';
import { type Driven, drive, statusOf } from '../terminal/drive.ts';
import { requireTerminal, terminalSize } from '../terminal/raw.ts';

interface ExecFlags {
  detach?: boolean;
  interactive?: boolean;
  tty?: boolean;
  env?: string[];
  envFile?: string[];
  user?: string;
  workdir?: string;
  target?: string;
}

export const command = defineCommand<ExecFlags>({
  arguments: '<name> [command...]',
  passThrough: true,
  completes: ['instance', 'none'],
  options(parser) {
    parser
      .option('-d, --detach', 'leave it running, and print the id of its session')
      .option(
        '-i, --interactive',
        'send our stdin to the command; with -d: keep it open for whoever attaches',
      )
      .option('-t, --tty', 'give the command a terminal')
      .option('-e, --env <name=value>', 'set an environment variable; NAME alone passes yours on', repeat)
      .option('--env-file <file>', 'read environment variables from a file', repeat)
      .option('-u, --user <user[:group]>', 'run as this user of the image')
      .option('-w, --workdir <directory>', 'working directory in the VM')
      .option('--target <root|vm>', "root: in the image's root; vm: beside it, in the agent's own", 'root');
  },
  notes: [
    "The command's exit status is viv's own: 127 where it does not exist, 126 where it cannot be executed, 128+n where " +
      'signal n ended it. Ctrl-C and SIGTERM go to the command; the second one kills it.',
  ],
  examples: [
    ["viv exec web -- sh -c 'echo hi; exit 7'", 'prints hi, exits 7'],
    ['echo data | viv exec -i web -- wc -c', 'with our stdin'],
    ['viv exec -it web -- sh', 'a shell with a terminal'],
    ['viv exec -d web -- make test', 'on its own; see `viv session`'],
  ],
  async run(context, [name = '', ...words], flags) {
    const argv = withoutSeparator(words);
    if (argv.length === 0) {
      throw new VivError('invalid_request', 'No command to run was given.', {
        hint: `viv exec -it ${name} -- sh`,
      });
    }
    if (flags.tty && flags.interactive && !flags.detach) requireTerminal(context);
    const env = parseEnvironment(flags.env ?? [], flags.envFile ?? [], context.env);
    const target = parseChoice(flags.target ?? 'root', '--target', ['root', 'vm']);
    const vm = await (await context.vivarium()).get(name);
    const options = {
      ...(Object.keys(env).length === 0 ? {} : { env }),
      ...(flags.user === undefined ? {} : { user: flags.user }),
      ...(flags.workdir === undefined ? {} : { cwd: flags.workdir }),
      ...(flags.tty ? { tty: terminalSize(context) } : {}),
      ...(target === 'root' ? {} : { target }),
    };
    if (flags.detach) {
      const stdin = flags.interactive === true;
      const session = await vm.sessions.start(argv, { ...options, ...(stdin ? { stdin } : {}) });
      await context.print(`${session.id}\n`);
      return 0;
    }
    const exec = vm.exec(argv, {
      ...options,
      ...(flags.interactive ? { stdin: 'open-stream' as const } : {}),
      signal: context.signal,
    });
    const end = await drive(context, driven(exec), {
      interactive: flags.interactive === true,
      tty: flags.tty === true,
      force: () => exec.kill('SIGKILL'),
    });
    return statusOf(end);
  },
});

/** An exec as what {@link drive} shows. Its exit can be asked for only once its output has been read to the end. */
function driven(exec: Exec): Driven {
  return {
    output: exec,
    get exit() {
      return exec.then(({ exitCode, signal }) => ({
        code: exitCode,
        ...(signal === undefined ? {} : { signal }),
      }));
    },
    write: (data) => exec.write(data),
    end: () => exec.end(),
    resize: (size) => exec.resize(size),
    signal: (name) => exec.kill(name),
  };
}
