import { defineCommand, repeat } from '../../command.ts';
import { parseDuration } from '../../flags/values.ts';
import { tokensOf } from '../../tokens.ts';

interface CreateFlags {
  name?: string;
  scope?: string[];
  expires?: string;
  json?: boolean;
}

/** A hundred years. Milliseconds. */
const longest = 100 * 365 * 86_400_000;

function secondsOf(expires: string): number | null {
  if (expires === 'never') return null;
  return Math.max(1, Math.round(parseDuration(expires, '--expires', longest) / 1000));
}

export const command = defineCommand<CreateFlags>({
  arguments: '',
  options(parser) {
    parser
      .option('--name <name>', 'what it is for')
      .option(
        '--scope <scope>',
        'what it may do: instance:read, instance:*, … (default: everything you may); repeatable',
        repeat,
      )
      .option('--expires <duration>', 'how long it is good for: 12h, 90d, never (default: 30d)')
      .option('--json', 'print the token and all about it as JSON');
  },
  notes: [
    'Prints the token, this once: it is kept nowhere. It is for `VIV_TOKEN`, or a file named by `VIV_TOKEN_FILE`; the daemon’s ' +
      'address is for `VIV_URL`, its own certificate authority for `VIV_CA`. The scopes are listed in docs/scopes.md.',
  ],
  examples: [
    ['viv token create --name ci --scope instance:* --scope image:read --expires 90d', 'for a CI job'],
    ['viv token create > token && VIV_TOKEN_FILE=token VIV_URL=https://vms.example:8443 viv ps', 'use one'],
  ],
  async run(context, _args, { name, scope, expires, json }) {
    const made = await (await tokensOf(context)).create({
      ...(name === undefined ? {} : { name }),
      ...(scope === undefined ? {} : { scopes: scope }),
      ...(expires === undefined ? {} : { expiresInSeconds: secondsOf(expires) }),
    });
    await (json ? context.printJson(made) : context.print(`${made.token}\n`));
    return 0;
  },
});
