import { formatSize, isVivError, type Vivarium } from '@vivarium/model';
import type { Command, Option } from 'commander';
import type { Completes } from '../command.ts';
import { commandFamilies, commands, findCommand } from '../commands.ts';
import type { Context } from '../context.ts';
import { parserFor } from '../program.ts';
import { shortReference } from '../render/instances.ts';
import { snapshotsOf } from '../snapshots.ts';

/** Told to the shell instead of words: complete file names itself. */
const askForFiles = ':files';

/**
 * The words that may stand where the last of `words` is being typed, a line for each, possibly with a tab and a description.
 * A last line `:files` asks the shell to add its own file names.
 */
export async function complete(context: Context, words: readonly string[]): Promise<string> {
  const typed = words.at(-1) ?? '';
  const candidates = await candidatesFor(context, words.slice(0, -1), typed);
  const fitting = candidates.filter((candidate) => candidate === askForFiles || candidate.startsWith(typed));
  return fitting.map((candidate) => `${candidate}\n`).join('');
}

async function candidatesFor(context: Context, before: readonly string[], typed: string): Promise<string[]> {
  if (before[0] === 'help') return before.length === 1 ? firstWords() : [];
  const found = findCommand(before);
  if (found === undefined) return before.length === 0 ? firstWords() : familyWords(before);
  const { command } = await found.entry.load();
  const parser = parserFor(found.entry, command);
  const { positionals, open, ended } = scan(parser, before.slice(found.used), command.passThrough === true);
  if (open !== undefined) return valuesOf(open);
  if (typed.startsWith('-') && !ended) return optionWords(parser);
  if (found.entry.name === 'completion') return positionals.length === 0 ? ['bash', 'zsh', 'fish'] : [];
  const completes = command.completes ?? [];
  return positionalWords(
    context,
    completes[Math.min(positionals.length, completes.length - 1)],
    positionals[0],
  );
}

const described = (name: string, summary: string) => `${name}\t${summary}`;

function firstWords(): string[] {
  const single = commands.filter(({ name }) => !name.includes(' '));
  return [
    ...single.map(({ name, summary }) => described(name, summary)),
    ...commandFamilies.map((family) => described(family, `Commands for the ${family}`)),
    described('help', 'Show help'),
  ];
}

function familyWords([family, ...rest]: readonly string[]): string[] {
  if (rest.length > 0) return [];
  return commands
    .filter(({ name }) => name.startsWith(`${family} `))
    .map(({ name, summary }) => described(name.split(' ')[1] ?? '', summary));
}

/** Where in the command line we are: which positionals came before, and whether an option waits for its value. */
function scan(
  parser: Command,
  words: readonly string[],
  passThrough: boolean,
): { positionals: string[]; open?: Option; ended: boolean } {
  const positionals: string[] = [];
  let open: Option | undefined;
  let ended = false;
  for (const word of words) {
    if (open !== undefined) open = undefined;
    else if (ended || word === '-' || !word.startsWith('-')) {
      positionals.push(word);
      ended ||= passThrough;
    } else if (word === '--') ended = true;
    else open = optionAwaitingValue(parser, word);
  }
  return { positionals, open, ended };
}

function optionAwaitingValue(parser: Command, word: string): Option | undefined {
  if (word.includes('=')) return undefined;
  // In `-it`, only the last letter can wait for a value.
  const flag = word.startsWith('--') ? word : `-${word.at(-1)}`;
  const option = parser.options.find(({ long, short }) => long === flag || short === flag);
  return option?.required ? option : undefined;
}

/** `<user|none>` in an option's own notation lists its words; a `<file>` is one of this machine. */
function valuesOf({ flags }: Option): string[] {
  const [, inside = ''] = /<([^>]*)>/.exec(flags) ?? [];
  if (inside === 'file') return [askForFiles];
  return inside.includes('|') ? inside.split('|') : [];
}

function optionWords(parser: Command): string[] {
  return [
    ...parser.options.map(({ long, short, description }) => described(long ?? short ?? '', description)),
    described('--help', 'show this page'),
  ];
}

async function positionalWords(
  context: Context,
  kind: Completes | undefined,
  first: string | undefined,
): Promise<string[]> {
  if (kind === undefined || kind === 'none' || kind === 'command') return [];
  if (kind === 'file') return [askForFiles];
  const vivarium = await context.running();
  if (vivarium === undefined) return kind === 'guest-path' ? [askForFiles] : [];
  const names = await known(vivarium, kind === 'guest-path' ? 'instance' : kind, first);
  // What follows NAME: in the guest is not looked up: it would cost a round trip through the VM at every key.
  return kind === 'guest-path' ? [...names.map((name) => `${name.split('\t')[0]}:`), askForFiles] : names;
}

async function known(
  vivarium: Vivarium,
  kind: 'image' | 'instance' | 'snapshot' | 'template' | 'pool' | 'volume' | 'token',
  first: string | undefined,
): Promise<string[]> {
  if (kind === 'snapshot') return first === undefined ? [] : snapshotNames(vivarium, first);
  if (kind === 'template')
    return (await vivarium.templates.list()).map(({ id, level }) => described(id, level));
  if (kind === 'token')
    return ((await vivarium.tokens?.list()) ?? []).map(({ id, name }) => described(id, name ?? ''));
  if (kind === 'pool')
    return (await vivarium.pools.list()).map(({ name, health }) => described(name, health));
  if (kind === 'volume')
    return (await vivarium.volumes.list()).map(({ name, sizeBytes }) =>
      described(name, formatSize(sizeBytes)),
    );
  if (kind === 'image')
    return (await vivarium.images.list()).flatMap(({ references }) => references.map(shortReference));
  const names: string[] = [];
  for await (const { name, state } of vivarium.all()) names.push(described(name, state));
  return names;
}

async function snapshotNames(vivarium: Vivarium, instance: string): Promise<string[]> {
  try {
    return (await snapshotsOf(vivarium, instance)).snapshots.map(({ name, state }) => described(name, state));
  } catch (error) {
    // A name that is wrong has nothing to offer, and the command will say so.
    if (isVivError(error, 'not_found', 'ambiguous')) return [];
    throw error;
  }
}
