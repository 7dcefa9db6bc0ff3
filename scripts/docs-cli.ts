/**
 * Writes docs/cli.md from the CLI's command table. With `--check` it writes nothing and fails where the page is not what
 * it would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type CommandEntry, commands, groups } from '../packages/cli/src/commands.ts';
import { parserFor } from '../packages/cli/src/program.ts';

export const page = fileURLToPath(new URL('../docs/cli.md', import.meta.url));

const inTable = (text: string) => text.replaceAll('|', '\\|');

async function section(entry: CommandEntry): Promise<string> {
  const { command } = await entry.load();
  const parser = parserFor(entry, command);
  const lines = [
    `### viv ${entry.name}`,
    '',
    `${entry.summary}.`,
    '',
    '```text',
    `viv ${entry.name} ${parser.usage()}`,
    '```',
  ];
  if (entry.aliases !== undefined)
    lines.push('', `Also: ${entry.aliases.map((alias) => `\`viv ${alias}\``).join(', ')}.`);
  if (parser.options.length > 0) {
    lines.push('', '| option | |', '|---|---|');
    for (const { flags, description } of parser.options) {
      lines.push(`| \`${inTable(flags)}\` | ${inTable(description)} |`);
    }
  }
  for (const note of command.notes ?? []) lines.push('', note);
  lines.push('', '```sh');
  for (const [line, explanation] of command.examples) lines.push(`# ${explanation}`, line);
  lines.push('```');
  return lines.join('\n');
}

/** The whole page. */
export async function generate(): Promise<string> {
  const parts = [
    `<!-- Written by scripts/docs-cli.ts from packages/cli/src/commands.ts and the commands themselves. -->
# The viv command

\`viv COMMAND --help\` shows what is here, \`viv completion bash|zsh|fish\` prints a completion script.

- A VM is named by its id, its name, or the beginning of its id. An image is named as in Docker.
- What a person reads goes to a terminal aligned, cut to its width and coloured (\`NO_COLOR\` turns that off). \`--json\` prints the
  shapes of the [model](../packages/model/src/instance.ts): one document for a list, a line for each where they come one by one.
- Progress and messages go to stderr, results to stdout. Progress is live on a terminal and a few plain lines elsewhere.
- An error is \`viv: message\`, often with a \`hint:\`; its exit status is in [errors.md](errors.md). \`run\` and \`exec\` end with the exit
  status of the command in the guest.
- Every command but those that need no VM (\`states\`, \`completion\`, \`version\`, \`--help\`) starts \`vivd\` where it isn't running.
- \`VIV_HOME\` names the data directory: by default \`$XDG_DATA_HOME/vivarium\`, for root \`/var/lib/vivarium\`. Each has a daemon of its own.
- \`VIV_URL\` names a daemon over TCP instead, with \`VIV_TOKEN\`; these and all other variables are in [configuration.md](configuration.md#environment).`,
  ];
  for (const group of groups) {
    parts.push(`## ${group}`);
    for (const entry of commands) if (entry.group === group) parts.push(await section(entry));
  }
  return `${parts.join('\n\n')}\n`;
}

if (import.meta.main) {
  const after = await generate();
  if (!process.argv.includes('--check')) writeFileSync(page, after);
  else if (readFileSync(page, 'utf8') !== after) {
    console.error('docs/cli.md is not what the commands say. Run: node scripts/docs-cli.ts');
    process.exitCode = 1;
  }
}
