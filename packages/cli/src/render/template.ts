import { VivError } from '@vivarium/model';

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
