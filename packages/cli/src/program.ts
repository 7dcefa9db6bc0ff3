import { nearest, VivError } from '@vivarium/model';
import { Command, CommanderError } from 'commander';
import type { CliCommand } from './command.ts';
import { type CommandEntry, commandFamilies, commands, findCommand } from './commands.ts';
import type { Context } from './context.ts';
import { reportFailure } from './failure.ts';

/** Runs one command line (without `node` and the script) and answers the exit status. Never throws. */
export async function runProgram(context: Context, argv: readonly string[]): Promise<number> {
  try {
    return await dispatch(context, argv);
  } catch (error) {
    return reportFailure(context, error);
  }
}

async function dispatch(context: Context, argv: readonly string[]): Promise<number> {
  const [first] = argv;
  if (first === undefined || first === '--help' || first === '-h') {
    const { topHelp } = await import('./help.ts');
    await context.print(topHelp(context.style));
    return 0;
  }
  if (first === '--version' || first === '-V' || first === '-v')
    return dispatch(context, ['version', ...argv.slice(1)]);
  if (first === 'help') return argv.length === 1 ? dispatch(context, []) : help(context, argv.slice(1));
  if (first === '__complete') {
    const { complete } = await import('./completion/complete.ts');
    await context.print(await complete(context, argv.slice(1)));
    return 0;
  }
  const found = findCommand(argv);
  if (found === undefined) return unknown(context, argv);
  const { command } = await found.entry.load();
  return invoke(context, found.entry, command, argv.slice(found.used));
}

async function help(context: Context, words: readonly string[]): Promise<number> {
  const found = findCommand(words);
  if (found === undefined) return unknown(context, words);
  return dispatch(context, [...words.slice(0, found.used), '--help']);
}

async function unknown(context: Context, words: readonly string[]): Promise<number> {
  const [first = '', second] = words;
  const family = commandFamilies.includes(first);
  if (family && (second === undefined || second === '--help' || second === '-h')) {
    const { topHelp } = await import('./help.ts');
    await context.print(topHelp(context.style, first));
    return second === undefined ? 2 : 0;
  }
  const typed = family ? `${first} ${second}` : first;
  const names = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  const meant = nearest(
    typed,
    family ? names.filter((name) => name.startsWith(`${first} `)) : [...names, ...commandFamilies],
  );
  throw new VivError('invalid_request', `${JSON.stringify(typed)} is not a viv command.`, {
    hint: meant === undefined ? 'See `viv --help`.' : `Did you mean \`viv ${meant}\`?`,
  });
}

/** The parser of one command. Commander neither prints nor exits: what it has to say is thrown. */
export function parserFor(entry: CommandEntry, command: CliCommand): Command {
  const parser = new Command(`viv ${entry.name}`)
    .description(entry.summary)
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined })
    .allowExcessArguments(false)
    .helpOption('-h, --help', 'show this page');
  if (command.arguments !== '') parser.arguments(command.arguments);
  command.options?.(parser);
  if (command.passThrough) parser.passThroughOptions();
  return parser;
}

async function invoke(
  context: Context,
  entry: CommandEntry,
  command: CliCommand,
  argv: readonly string[],
): Promise<number> {
  const parser = parserFor(entry, command);
  parser.action(() => undefined);
  // Commander drops the separator, and with it where the names end.
  const cut = command.commandAfterSeparator ? argv.indexOf('--') : -1;
  const own = cut === -1 ? argv : argv.slice(0, cut);
  try {
    await parser.parseAsync(own, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.help') {
      const { commandHelp } = await import('./help.ts');
      await context.print(commandHelp(parser, command, context.style, context.stdout.columns));
      return 0;
    }
    throw new VivError('invalid_request', error.message.replace(/^error: /, '').replaceAll('\n', ' '), {
      hint: `See \`viv ${entry.name} --help\`.`,
      cause: error,
    });
  }
  const args = cut === -1 ? parser.args : [...parser.args, ...argv.slice(cut)];
  return (await command.run(context, args, parser.opts())) ?? 0;
}
