import { type Context, widthOf } from '../context.ts';
import { printable, type Style } from './style.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'right';
  /** Colours the finished cell. */
  readonly colour?: (row: Row) => Parameters<Style>[0] | undefined;
  /** Gives up width first, where the terminal is narrow. */
  readonly shrinks?: boolean;
}

const gap = '  ';
/** A shrinking column keeps at least this many characters. */
const narrowest = 8;

/** Cuts to a number of characters, the last of which then is an ellipsis. */
export function truncate(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  return width <= 0 ? '' : `${characters.slice(0, width - 1).join('')}…`;
}

/** Aligned lines with a heading. With a width no line is longer; without one nothing is cut. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: { width?: number; style?: Style } = {},
): string {
  const style: Style = options.style ?? ((_, text) => text);
  const cells = rows.map((row) => columns.map(({ value }) => printable(value(row))));
  const widths = fit(columns, cells, options.width);
  const line = (texts: readonly string[], row?: Row): string => {
    const cut = texts.map((text, index) => truncate(text, widths[index] ?? 0));
    const join = (shown: readonly string[]) =>
      shown
        .map((text, index) => {
          const space = ' '.repeat(Math.max(0, (widths[index] ?? 0) - [...(cut[index] ?? '')].length));
          return columns[index]?.align === 'right' ? space + text : text + space;
        })
        .join(gap)
        .trimEnd();
    // Where even the narrowest columns do not fit, the end of the line goes, and its colours with it.
    const plain = join(cut);
    if (options.width !== undefined && [...plain].length > options.width)
      return truncate(plain, options.width);
    return join(
      cut.map((text, index) => coloured(text, row === undefined ? undefined : columns[index]?.colour?.(row))),
    );
  };
  const coloured = (text: string, colour?: Parameters<Style>[0]) =>
    colour === undefined ? text : style(colour, text);
  const heading = line(columns.map(({ title }) => title));
  return `${[heading, ...cells.map((texts, index) => line(texts, rows[index]))].join('\n')}\n`;
}

function fit<Row>(
  columns: readonly Column<Row>[],
  cells: readonly string[][],
  limit: number | undefined,
): number[] {
  const widths = columns.map(({ title }, index) =>
    cells.reduce((widest, row) => Math.max(widest, [...(row[index] ?? '')].length), title.length),
  );
  if (limit === undefined) return widths;
  const total = () => widths.reduce((sum, width) => sum + width, 0) + gap.length * (columns.length - 1);
  while (total() > limit) {
    const candidates = columns.flatMap(({ shrinks }, index) =>
      shrinks && (widths[index] ?? 0) > narrowest ? [index] : [],
    );
    const widest = candidates.sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    if (widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

/** A table on stdout, as wide as a terminal is. */
export function printTable<Row>(
  context: Context,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): Promise<void> {
  return context.print(renderTable(columns, rows, { width: widthOf(context.stdout), style: context.style }));
}

/** What a listing has found, as its flags ask: JSON, one word for each, or a table. */
export function printList<Row>(
  context: Context,
  found: readonly Row[],
  { json, quiet }: { json?: boolean; quiet?: boolean },
  { columns, word }: { columns: readonly Column<Row>[]; word(row: Row): string },
): Promise<void> {
  if (json) return context.printJson(found);
  if (quiet) return context.print(found.map((row) => `${word(row)}\n`).join(''));
  return printTable(context, columns, found);
}
