import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { nearest, VivError } from '@vivarium/model';
import { type Config, type Field, type FieldName, fields, presets } from './fields.ts';

export const configFile = (home: string): string => path.join(home, 'config.json');

/** What is configured for a data directory; where there is no file, the defaults. @throws VivError `invalid_request` naming the field. */
export async function readConfig(home: string): Promise<Config> {
  const file = configFile(home);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return configOf({}, file);
    throw error;
  }
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch (cause) {
    throw new VivError('invalid_request', `${file} is no JSON: ${(cause as Error).message}`, { cause });
  }
  return configOf(said, file);
}

/** Every default, as an engine without a file has it. */
export const defaultConfig: Config = configOf({}, 'config.json');

/** `file` is only for messages. @throws VivError `invalid_request`. */
export function configOf(said: unknown, file: string): Config {
  const given = new Map<FieldName, unknown>();
  if (typeof said !== 'object' || said === null || Array.isArray(said))
    throw new VivError('invalid_request', `${file} is not an object of fields`);
  collect(said, '', file, given);
  const preset = presets[value('resources.preset', given, file) as Config['resources.preset']];
  const names = Object.keys(fields) as FieldName[];
  return Object.fromEntries(names.map((name) => [name, value(name, given, file, preset)])) as Config;
}

function collect(said: object, below: string, file: string, into: Map<FieldName, unknown>): void {
  const names = Object.keys(fields);
  for (const [key, inner] of Object.entries(said)) {
    if (below === '' && key === '$schema') continue;
    const name = `${below}${key}`;
    if (Object.hasOwn(fields, name)) into.set(name as FieldName, inner);
    else if (names.some((known) => known.startsWith(`${name}.`))) {
      if (typeof inner !== 'object' || inner === null || Array.isArray(inner))
        throw new VivError('invalid_request', `${file}: ${name} is not an object of fields`, {
          details: { field: name },
        });
      collect(inner, `${name}.`, file, into);
    } else throw unknown(name, file);
  }
}

function unknown(name: string, file: string): VivError {
  const names = Object.keys(fields);
  const groups = names.flatMap((known) => known.split('.').map((_, i, words) => words.slice(0, i).join('.')));
  const meant = new Map([...names, ...groups].map((known) => [known.toLowerCase(), known]));
  meant.delete('');
  const near = meant.get(nearest(name, meant.keys()) ?? '');
  return new VivError('invalid_request', `${file}: there is no field ${name}`, {
    hint: near === undefined ? '`viv config show` lists the fields.' : `Did you mean ${near}?`,
    details: { field: name },
  });
}

function value(
  name: FieldName,
  given: ReadonlyMap<FieldName, unknown>,
  file: string,
  preset: Partial<Config> = {},
): unknown {
  const { otherwise, parse }: Field<unknown> = fields[name] as Field<never>;
  if (!given.has(name)) return preset[name] ?? otherwise;
  try {
    return parse(given.get(name));
  } catch (cause) {
    const { message } = VivError.from(cause);
    throw new VivError('invalid_request', `${file}: ${name} ${message}: ${JSON.stringify(given.get(name))}`, {
      details: { field: name },
      cause,
    });
  }
}
