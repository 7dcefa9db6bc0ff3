import { basename } from 'node:path';
import type { Chapter, Entry, Member } from './read.ts';

/** Markdown of all chapters: contents first, then each with what it exports. */
export function writeChapters(chapters: readonly Chapter[]): string {
  const known = new Set(chapters.flatMap(({ entries }) => entries.map(({ name }) => name)));
  const parts: string[] = [contents(chapters)];
  for (const { file, entries } of chapters) {
    parts.push(`## ${title(file)}\n\n[${file}](../${file})`);
    for (const entry of entries) parts.push(section(entry, known));
  }
  return `${parts.join('\n\n')}\n`;
}

function title(file: string): string {
  const name = basename(file, '.ts').replaceAll('-', ' ');
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

function contents(chapters: readonly Chapter[]): string {
  const rows = chapters.map(({ file, entries }) => {
    const links = entries.map(({ name }) => `[${name}](#${name.toLowerCase()})`);
    return `| ${title(file)} | ${links.join(' · ')} |`;
  });
  return ['| | |', '|---|---|', ...rows].join('\n');
}

function section({ name, doc, signature, members }: Entry, known: ReadonlySet<string>): string {
  const text = prose(doc, known);
  const lines = [`### ${name}`, '', ...(text === '' ? [] : [text, '']), '```ts', signature, '```'];
  if (members.length > 0) lines.push('', ...members.map((member) => item(member, known)));
  return lines.join('\n');
}

function item({ signature, doc }: Member, known: ReadonlySet<string>): string {
  const text = prose(doc, known).replaceAll(/\n+/g, ' ');
  return `- \`${signature}\`${text === '' ? '' : `: ${text}`}`;
}

/** A doc comment as Markdown: links to what is on the page, and what it throws as a sentence. */
function prose(doc: string, known: ReadonlySet<string>): string {
  return doc
    .replaceAll(/\{@link ([\w.]+)\}/g, (_, target: string) => link(target, known))
    .replaceAll(/@throws (\w+) ?/g, (_, type: string) => `**Throws** ${link(type, known)} `)
    .replaceAll(/@(\w+) /g, (_, tag: string) => `**${tag}** `)
    .trim();
}

function link(target: string, known: ReadonlySet<string>): string {
  const [owner = ''] = target.split('.');
  return known.has(owner) ? `[\`${target}\`](#${owner.toLowerCase()})` : `\`${target}\``;
}
