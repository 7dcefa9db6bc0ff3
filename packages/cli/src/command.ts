import type { Command } from 'commander';
import type { Context } from './context.ts';

/** What a positional argument names, so that shells can complete it. */
export type Completes =
  | 'instance'
  | 'snapshot'
  | 'template'
  | 'pool'
  | 'token'
  | 'volume'
  | 'image'
  | 'command'
  | 'guest-path'
  | 'file'
  | 'none';

/** One command of `viv`, as its module exports it. Only the invoked command's module is ever imported. */
export interface CliCommand<Options = unknown> {
  /** Positional arguments in commander's notation: `<image> [command...]`. */
  readonly arguments: string;
  /** The first positional ends our options: what follows belongs to the command in the guest. */
  readonly passThrough?: boolean;
  /** What follows `--` is a command in the guest, and comes to `run` behind that separator. */
  readonly commandAfterSeparator?: boolean;
  /** Declares the options. */
  options?(command: Command): void;
  /** A command line and what it does. */
  readonly examples: readonly (readonly [line: string, explanation: string])[];
  /** Paragraphs under the options on the help page. */
  readonly notes?: readonly string[];
  /** What each positional completes to; the last one repeats. */
  readonly completes?: readonly Completes[];
  /** Answers the exit status; nothing is 0. */
  run(context: Context, args: readonly string[], options: Options): Promise<number | undefined>;
}

/** Keeps a command's option type while the table holds all commands alike. */
export function defineCommand<Options>(command: CliCommand<Options>): CliCommand<Options> {
  return command;
}

/** Collects an option that may be given several times. */
export function repeat(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}
