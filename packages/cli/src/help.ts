import type { Command } from 'commander';
import type { CliCommand } from './command.ts';
import { commands, groups } from './commands.ts';
import type { Style } from './render/style.ts';

/** The page of `viv --help`, or of one family (`viv image --help`). */
export function topHelp(style: Style, family?: string): string {
  const shown = commands.filter(({ name }) => family === undefined || name.startsWith(`${family} `));
  const width = Math.max(...shown.map(({ name }) => name.length)) + 2;
  const lines = [
    `${style('bold', 'Usage:')} viv ${family === undefined ? '' : `${family} `}COMMAND [options] [arguments]`,
    '',
    family === undefined
      ? 'Makes, runs and destroys virtual machines from OCI images.'
      : `viv ${family} has these commands:`,
  ];
  for (const group of groups) {
    const entries = shown.filter((entry) => entry.group === group);
    if (entries.length === 0) continue;
    lines.push('', style('bold', `${group}:`));
    for (const { name, summary } of entries) lines.push(`  ${style('cyan', name.padEnd(width))}${summary}`);
  }
  if (family === undefined) {
    lines.push(
      '',
      style('bold', 'Examples:'),
      '  viv run --rm busybox -- uname -a',
      '  viv run -d --name web -p 8080:80 busybox -- httpd -f -p 80 -h /etc',
      '  viv exec -it web -- sh',
      '',
      style('bold', 'Environment:'),
      '  VIV_HOME   data directory (default: XDG data directory, /var/lib/vivarium for root)',
      '  NO_COLOR   no colours',
      '  VIV_DEBUG  show stack traces of internal errors',
    );
  }
  lines.push(
    '',
    `\`viv ${family === undefined ? '' : `${family} `}COMMAND --help\` tells more about a command.`,
  );
  return `${lines.join('\n')}\n`;
}

/** The page of one command: usage, options, notes, examples. */
export function commandHelp(parser: Command, command: CliCommand, style: Style, width?: number): string {
  if (width !== undefined) parser.configureHelp({ helpWidth: width });
  const lines = [parser.helpInformation().trimEnd()];
  for (const note of command.notes ?? []) lines.push('', note);
  if (command.examples.length > 0) {
    lines.push('', style('bold', 'Examples:'));
    for (const [line, explanation] of command.examples)
      lines.push(`  ${style('dim', `# ${explanation}`)}`, `  ${line}`);
  }
  return `${lines.join('\n')}\n`;
}
