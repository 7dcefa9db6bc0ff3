import { type UpdateOptions, VivError } from '@vivarium/model';
import { defineCommand, repeat } from '../command.ts';
import { forEachOf } from '../each.ts';
import { parseEnvironment } from '../flags/environment.ts';
import {
  type AutostartFlags,
  autostartOptions,
  healthOptions,
  parseAutostart,
  parseLifetime,
  parseService,
  restartOptions,
  type ServiceFlags,
} from '../flags/service.ts';
import { parseTags } from '../flags/values.ts';

interface UpdateFlags extends ServiceFlags, AutostartFlags {
  ttl?: string;
  env?: string[];
  envFile?: string[];
  unsetEnv?: string[];
  label?: string[];
  unsetLabel?: string[];
  json?: boolean;
}

export const command = defineCommand<UpdateFlags>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    restartOptions(parser);
    parser.option('--ttl <time>', 'delete it after this long from now, or at an RFC 3339 time; 0: never');
    autostartOptions(parser);
    parser
      .option('--no-autostart', 'do not start it after a reboot of the host')
      .option('-e, --env <name=value>', 'set an environment variable; NAME alone passes yours on', repeat)
      .option('--env-file <file>', 'read environment variables from a file', repeat)
      .option('--unset-env <name>', 'remove an environment variable', repeat)
      .option('-l, --label <key=value>', 'set a tag', repeat)
      .option('--unset-label <key>', 'remove a tag', repeat);
    healthOptions(parser);
    parser
      .option('--no-healthcheck', 'no health check')
      .option('--json', 'print the VMs as JSON, a line for each');
  },
  notes: [
    'In any state, all of it or nothing. What is not named stays. The environment, and the sizes of logs, change at the next start.',
  ],
  examples: [
    ['viv update web --restart on-failure:3', 'from its next end on'],
    ['viv update job --ttl 2h', 'two more hours from now'],
    [
      'viv update web --health-http 80/ready -e LEVEL=debug',
      'a health check, and a variable at the next start',
    ],
  ],
  async run(context, names, flags) {
    const options = parseUpdate(flags, context.env);
    return forEachOf(context, names, async (name, vivarium) => {
      const info = await (await vivarium.get(name)).update(options);
      if (flags.json) return `${JSON.stringify(info)}\n`;
      const pending = info.pendingChanges ?? [];
      if (pending.length > 0)
        context.note(`viv: ${info.name}: ${pending.join(', ')} in effect from the next start on`);
      return `${info.name}\n`;
    });
  },
});

function parseUpdate(flags: UpdateFlags, outer: NodeJS.ProcessEnv): UpdateOptions {
  const unset = (names: readonly string[] = []) => Object.fromEntries(names.map((name) => [name, null]));
  const env = { ...parseEnvironment(flags.env ?? [], flags.envFile ?? [], outer), ...unset(flags.unsetEnv) };
  const tags = { ...parseTags(flags.label ?? [], '--label'), ...unset(flags.unsetLabel) };
  const autostart = flags.autostart === false ? null : parseAutostart(flags);
  const options: UpdateOptions = {
    ...parseService(flags),
    ...(flags.ttl === undefined ? {} : parseLifetime(flags.ttl)),
    ...(autostart === undefined ? {} : { autostart }),
    ...(Object.keys(env).length === 0 ? {} : { env }),
    ...(Object.keys(tags).length === 0 ? {} : { tags }),
  };
  if (Object.keys(options).length > 0) return options;
  throw new VivError('invalid_request', 'Nothing to change was given.', { hint: 'See `viv update --help`.' });
}
