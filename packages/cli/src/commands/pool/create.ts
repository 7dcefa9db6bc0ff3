import { defineCommand } from '../../command.ts';
import { type CreateFlags, machineOptions, parseCreate } from '../../flags/create.ts';
import { parseChoice, parseCount, parseDuration } from '../../flags/values.ts';
import { forOne } from '../../render/progress.ts';
import { terminalSize } from '../../terminal/raw.ts';

interface PoolFlags extends Omit<CreateFlags, 'name' | 'rm' | 'restart' | 'ttl' | 'autostart'> {
  image: string;
  size?: string;
  stage?: string;
  creationTimeout?: string;
  wait: boolean;
  quiet?: boolean;
  json?: boolean;
}

export const command = defineCommand<PoolFlags>({
  arguments: '<name> [command...]',
  completes: ['none'],
  options(parser) {
    parser
      .requiredOption('--image <reference>', 'image of the VMs')
      .option('--size <n>', 'how many are kept ready (default: 2)')
      .option(
        '--stage <running|suspended|stopped>',
        'how far they are made ready (default: running; suspended ones cost no memory)',
      )
      .option('--creation-timeout <seconds>', 'give an attempt to make one up after this long (default: 120)')
      .option('--no-wait', 'do not wait until the first one is ready');
    machineOptions(parser);
    parser.option('-q, --quiet', 'no progress').option('--json', 'print the pool as JSON');
  },
  notes: [
    'What follows -- is the command of the VMs. Names of the VMs are invented. Where making them fails, the ' +
      'pool waits longer each time and goes on trying: see `viv pool ls`.',
  ],
  examples: [
    ['viv pool create shells --image busybox --size 5', 'five shells that are up'],
    [
      'viv pool create jobs --image busybox --stage suspended -m 1GB -- sh -c "prepare; sleep infinity"',
      'two that have done their preparations, on disk',
    ],
  ],
  async run(context, [name = '', ...words], flags) {
    const {
      name: _,
      autoRemove: __,
      attach: ___,
      restartPolicy: _restart,
      ttlMs: _ttl,
      expiresAt: _expires,
      autostart: _autostart,
      ...create
    } = parseCreate(flags, flags.image, words, context.env);
    const options = {
      ...create,
      ...(flags.tty ? { tty: terminalSize(context) } : {}),
      ...(flags.size === undefined ? {} : { size: parseCount(flags.size, '--size', 1) }),
      ...(flags.stage === undefined
        ? {}
        : { stage: parseChoice(flags.stage, '--stage', ['running', 'suspended', 'stopped'] as const) }),
      ...(flags.creationTimeout === undefined
        ? {}
        : { creationTimeoutMs: parseDuration(flags.creationTimeout, '--creation-timeout') }),
      ...(flags.wait ? {} : { wait: false }),
    };
    const { pools } = await context.vivarium();
    const pool = await forOne(context, [], flags)((call) => pools.create(name, { ...options, ...call }));
    await (flags.json ? context.printJson(pool.info) : context.print(`${pool.name}\n`));
    return 0;
  },
});
