/**
 * Writes the table of docs/configuration.md from the fields. With `--check` it writes nothing and fails where the page is not what it
 * would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Field, type FieldName, fields, presets } from '../packages/engine/src/config/fields.ts';

const page = fileURLToPath(new URL('../docs/configuration.md', import.meta.url));
const [begin, end] = ['<!-- fields -->', '<!-- /fields -->'];

function table(): string {
  const rows = (Object.keys(fields) as FieldName[]).map((name) => {
    const { show, otherwise, form, meaning }: Field<unknown> = fields[name] as Field<never>;
    const other = presets.hypeman[name];
    const written = (value: unknown) => `\`${JSON.stringify(show(value))}\``;
    const preset = other === undefined ? '' : written(other);
    return `| \`${name}\` | ${written(otherwise)} | ${preset} | ${meaning} (${form}) |`;
  });
  return `| field | default | \`hypeman\` | meaning |\n|---|---|---|---|\n${rows.join('\n')}`;
}

/** The page with its table as it should be. */
function generate(text: string): string {
  const [head = '', rest = ''] = text.split(begin);
  return `${head}${begin}\n${table()}\n${end}${rest.split(end)[1] ?? ''}`;
}

const before = readFileSync(page, 'utf8');
const after = generate(before);
if (!process.argv.includes('--check')) writeFileSync(page, after);
else if (before !== after) {
  console.error('docs/configuration.md is not what the fields say. Run: node scripts/docs-config.ts');
  process.exitCode = 1;
}
