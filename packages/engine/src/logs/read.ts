import path from 'node:path';
import { type LogLine, type LogOptions, type LogSource, VivError } from '@vivarium/model';
import type { Instance } from '../instances/instance.ts';
import type { EventLog } from '../store/events.ts';
import { CriParser } from './cri.ts';
import { caughtUp, followLines, logExists } from './follow.ts';

const files: Record<Exclude<LogSource, 'vivarium'>, string> = {
  app: 'app.log',
  console: 'console.log',
  vmm: 'vmm.log',
};

type Lines = AsyncIterable<LogLine | typeof caughtUp>;

/** @throws VivError `log_not_found` where nothing was written yet, and nothing runs that could. */
export async function* readLog(
  instance: Instance,
  events: EventLog,
  options: LogOptions,
): AsyncGenerator<LogLine> {
  const lines: Lines =
    options.source === 'vivarium' ? ownLines(instance, events, options) : fileLines(instance, options);
  const held: LogLine[] = [];
  let live = options.tail === undefined;
  for await (const line of lines) {
    if (line === caughtUp) {
      live = true;
      yield* held.splice(0);
    } else if (live) yield line;
    else {
      held.push(line);
      if (held.length > (options.tail ?? 0)) held.shift();
    }
  }
  yield* held;
}

async function* fileLines(
  instance: Instance,
  options: LogOptions,
): AsyncGenerator<LogLine | typeof caughtUp> {
  const source = (options.source ?? 'app') as keyof typeof files;
  const file = path.join(instance.dir, files[source]);
  if (instance.machine === undefined && !(await logExists(file))) {
    throw new VivError('log_not_found', `${instance.record.name} has no ${source} log`, {
      hint: instance.record.startedAt === undefined ? 'It has never been started.' : undefined,
    });
  }
  const parser = new CriParser();
  const follow = options.follow ?? false;
  for await (const line of followLines(file, {
    follow,
    ended: stopped(instance, follow),
    signal: options.signal,
  })) {
    if (line === caughtUp) yield line;
    else if (source === 'app') {
      const parsed = parser.parse(line);
      if (parsed !== undefined) yield parsed;
    } else yield { stream: source, text: line };
  }
}

/** Resolves when the instance has no VMM (any more), and so nobody writes its logs. */
async function stopped(instance: Instance, follow: boolean): Promise<void> {
  if (!follow) return;
  if (instance.machine !== undefined) await instance.machineGone(instance.machine);
}

async function* ownLines(
  instance: Instance,
  events: EventLog,
  options: LogOptions,
): AsyncGenerator<LogLine | typeof caughtUp> {
  const last = events.last;
  let since = 0;
  for (let page = events.of(instance.id); page.length > 0; page = events.of(instance.id, since)) {
    for (const event of page) yield toLine(event);
    since = page.at(-1)?.seq ?? since;
  }
  if (!options.follow) return;
  yield caughtUp;
  for await (const event of events.read({
    since: Math.max(since, last),
    instanceId: instance.id,
    signal: options.signal,
  })) {
    yield toLine(event);
    if (event.type === 'deleted') return;
  }
}

function toLine({ at, type, data }: { at: string; type: string; data: Record<string, unknown> }): LogLine {
  return { at, stream: 'vivarium', text: `${type} ${JSON.stringify(data)}` };
}
