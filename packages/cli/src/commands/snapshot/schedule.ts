import { type SnapshotScheduleInfo, type SnapshotScheduleOptions, VivError } from '@vivarium/model';
import { defineCommand, repeat } from '../../command.ts';
import type { Context } from '../../context.ts';
import { parseChoice, parseCount, parseDuration, parseTags } from '../../flags/values.ts';
import { ageOf, formatAge } from '../../render/time.ts';

interface ScheduleFlags {
  every?: string;
  jitter?: string;
  keep?: string;
  keepFor?: string;
  prefix?: string;
  label?: string[];
  json?: boolean;
}

/** Spans of a schedule may be longer than what a timer holds. */
const tenYears = 10 * 366 * 86_400_000;

export const command = defineCommand<ScheduleFlags>({
  arguments: '<set|show|rm> <name>',
  completes: ['none', 'instance'],
  options(parser) {
    parser
      .option('--every <span>', 'set: from one to the next, at least 1m')
      .option('--keep <count>', 'set: at most so many of them stay')
      .option('--keep-for <span>', 'set: none older than that stays')
      .option('--jitter <span>', 'set: each up to so much late, at random (default: none)')
      .option('--prefix <name>', 'set: of their names, before the time (default: auto)')
      .option('-l, --label <key=value>', 'set: tag each of them', repeat)
      .option('--json', 'print the schedule as JSON');
  },
  notes: [
    'Goes on over restarts of vivd; what was due meanwhile is taken once. Only snapshots of the schedule are ever removed by it. One that ' +
      'fails is tried again a minute later, and `show` says why it failed.',
  ],
  examples: [
    ['viv snapshot schedule set web --every 1h --keep 24', 'one an hour, of the last day'],
    ['viv snapshot schedule show web', 'when the next one is due, and how the last one went'],
    ['viv snapshot schedule rm web', 'no more; those that there are stay'],
  ],
  async run(context, [verb = '', name = ''], flags) {
    const act = parseChoice(verb, 'The action', ['set', 'show', 'rm']);
    const options = act === 'set' ? scheduleOf(flags) : undefined;
    const { schedule } = (await (await context.vivarium()).get(name)).snapshots;
    if (act === 'rm') await schedule.remove();
    else
      await show(
        context,
        options === undefined ? await schedule.get() : await schedule.set(options),
        name,
        flags,
      );
    return 0;
  },
});

function scheduleOf(flags: ScheduleFlags): SnapshotScheduleOptions {
  const { every, jitter, keep, keepFor, prefix, label } = flags;
  if (every === undefined)
    throw new VivError('invalid_request', 'How often is not said.', {
      hint: 'Use --every, as in --every 1h.',
    });
  const span = (text: string, option: string) => parseDuration(text, option, tenYears);
  return {
    intervalMs: span(every, '--every'),
    ...(jitter === undefined ? {} : { jitterMs: span(jitter, '--jitter') }),
    ...(prefix === undefined ? {} : { namePrefix: prefix }),
    ...(label === undefined ? {} : { tags: parseTags(label, '--label') }),
    retention: {
      ...(keep === undefined ? {} : { maxCount: parseCount(keep, '--keep', 1) }),
      ...(keepFor === undefined ? {} : { maxAgeMs: span(keepFor, '--keep-for') }),
    },
  };
}

async function show(
  context: Context,
  info: SnapshotScheduleInfo | undefined,
  name: string,
  { json }: ScheduleFlags,
): Promise<void> {
  if (info === undefined) throw new VivError('not_found', `${name} has no snapshot schedule`);
  if (json) return context.printJson(info);
  const { intervalMs, retention, nextRunAt, lastRunAt, lastError } = info;
  const { maxCount, maxAgeMs } = retention;
  const now = Date.now();
  const kept = [
    ...(maxCount === undefined ? [] : [`${maxCount} of them`]),
    ...(maxAgeMs === undefined ? [] : [`for ${formatAge(maxAgeMs)}`]),
  ];
  const lines = [
    `every ${formatAge(intervalMs)}, kept: ${kept.join(', ')}`,
    `next ${Date.parse(nextRunAt) <= now ? 'now' : `in ${formatAge(Date.parse(nextRunAt) - now)}`}`,
    lastRunAt === undefined ? 'none yet' : `last tried ${ageOf(lastRunAt, now)} ago`,
    ...(lastError === undefined ? [] : [`failed: ${lastError.message}`]),
  ];
  await context.print(`${lines.join('\n')}\n`);
}
