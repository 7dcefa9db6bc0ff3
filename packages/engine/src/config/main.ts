import { dataDir, VivError } from '@vivarium/model';
import { type Config, type Field, type FieldName, fields } from './fields.ts';
import { configFile, readConfig } from './read.ts';

/* What `viv config` runs: the command's own room does not know the engine, and a daemon does not start over a wrong file. */

/** As one would write it, by name. */
export function shown(config: Config): Record<string, string | number | boolean> {
  return Object.fromEntries(
    (Object.keys(fields) as FieldName[]).map((name) => {
      const { show }: Field<unknown> = fields[name] as Field<never>;
      return [name, show(config[name])];
    }),
  );
}

async function run(word: string, json: boolean): Promise<string> {
  const home = dataDir();
  const file = configFile(home);
  if (word === 'path') return json ? JSON.stringify({ path: file }) : file;
  const config = shown(await readConfig(home));
  if (word === 'check') return json ? JSON.stringify({ ok: true, path: file }) : `${file} is right.`;
  if (json) return JSON.stringify(config, null, 2);
  const width = Math.max(...Object.keys(config).map((name) => name.length));
  return Object.entries(config)
    .map(([name, value]) => `${name.padEnd(width)}  ${value}`)
    .join('\n');
}

if (import.meta.main) {
  const [word = 'show', flag] = process.argv.slice(2);
  try {
    process.stdout.write(`${await run(word, flag === '--json')}\n`);
  } catch (thrown) {
    const error = VivError.from(thrown);
    const hint = error.hint === undefined ? '' : `hint: ${error.hint}\n`;
    process.stderr.write(`viv: ${error.message}\n${hint}`);
    process.exitCode = error.rule.exit;
  }
}
