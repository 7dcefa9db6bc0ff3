import { VivError } from '@vivarium/model';
import type { Context } from '../context.ts';

/**
 * Fills `{{.path.to.field}}` from plain data, as far as Docker's `--format` is needed: fields, list positions, and
 * `{{json .field}}`. Objects come out as JSON, absent fields empty.
 *
 * @throws VivError `invalid_request` where a placeholder has another form.
 */
export function fillTemplate(template: string, data: unknown): string {
  return template.replace(/\{\{(.*?)\}\}/g, (_, inside: string) => {
    const match = /^\s*(json\s+)?\.([\w.-]*)\s*$/.exec(inside);
    if (match === null) {
      throw new VivError('invalid_request', `--format: {{${inside}}} is not understood.`, {
        hint: 'Use {{.field}}, {{.field.inner}} or {{json .field}}; `viv inspect NAME` shows the fields.',
      });
    }
    const path = (match[2] ?? '').split('.').filter((step) => step !== '');
    const value = path.reduce<unknown>(
      (at, step) =>
        at !== null && typeof at === 'object' && Object.hasOwn(at, step)
          ? at[step as keyof typeof at]
          : undefined,
      data,
    );
    if (match[1] !== undefined) return JSON.stringify(value ?? null);
    if (value === undefined || value === null) return '';
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  });
}

/** The template filled in for each, a line each. */
export function printFilled(context: Context, template: string, found: readonly unknown[]): Promise<void> {
  return context.print(found.map((data) => `${fillTemplate(template, data)}\n`).join(''));
}

/** What an inspection has found: by a template, else as one object for one, and an array for several. */
export function printFound(
  context: Context,
  found: readonly unknown[],
  template: string | undefined,
): Promise<void> {
  if (template !== undefined) return printFilled(context, template, found);
  return context.printJson(found.length === 1 ? found[0] : found);
}
