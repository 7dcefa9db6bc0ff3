import { type ForkOptions, type ForkState, VivError } from '@vivarium/model';
import type { Command } from 'commander';
import { repeat } from '../command.ts';
import { parseCount, parseTags } from './values.ts';

/** What commander makes of the options that copies share, whether of a VM or of a snapshot. */
export interface CopyFlags extends Partial<Record<ForkState, boolean>> {
  count?: string;
  name?: string;
  label?: string[];
  rm?: boolean;
  quiet?: boolean;
  json?: boolean;
}

const states: readonly ForkState[] = ['running', 'paused', 'suspended', 'stopped'];

/** Declares them. `source` is what the state of the copies is by default. */
export function copyOptions(command: Command, source: string): Command {
  return command
    .option('-n, --count <n>', 'how many copies (default: 1)')
    .option('--name <pattern>', 'name of the copy; %d is its number, from 1 (default: invented names)')
    .option('--running', `bring the copies up (default: as ${source})`)
    .option('--paused', 'leave them paused')
    .option('--suspended', 'leave them suspended')
    .option('--stopped', 'copy the disk only')
    .option('-l, --label <key=value>', `tag the copies (default: the tags of ${source})`, repeat)
    .option('--rm', 'delete each copy once it has stopped');
}

/** Only what was said is set, so that defaults stay the engine's. */
export function parseCopies(flags: CopyFlags): ForkOptions {
  const [state, other] = states.filter((word) => flags[word]);
  if (other !== undefined) {
    throw new VivError('invalid_request', `A copy can not be both --${state} and --${other}.`);
  }
  const options: ForkOptions = {};
  if (flags.count !== undefined) options.count = parseCount(flags.count, '--count', 1);
  if (flags.name !== undefined) options.name = flags.name;
  if (state !== undefined) options.state = state;
  if (flags.label !== undefined) options.tags = parseTags(flags.label, '--label');
  if (flags.rm) options.autoRemove = true;
  return options;
}
