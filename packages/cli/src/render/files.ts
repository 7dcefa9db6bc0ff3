import type { FileEntry } from '@vivarium/model';
import type { Column } from './table.ts';

const letters: Readonly<Record<FileEntry['kind'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  other: '?',
};

/** `drwxr-xr-x`, as ls has it. */
export function modeText({ kind, mode }: Pick<FileEntry, 'kind' | 'mode'>): string {
  const triple = (shift: number, special: number, mark: string): string => {
    const bits = (mode >> shift) & 7;
    const x = (bits & 1) !== 0;
    const last = (mode & special) === 0 ? (x ? 'x' : '-') : x ? mark : mark.toUpperCase();
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`;
  };
  return letters[kind] + triple(6, 0o4000, 's') + triple(3, 0o2000, 's') + triple(0, 0o1000, 't');
}

/** The columns of `fs ls`. */
export function fileColumns(): Column<FileEntry>[] {
  return [
    { title: 'MODE', value: modeText },
    { title: 'OWNER', value: ({ uid, gid }) => `${uid}:${gid}` },
    { title: 'SIZE', value: ({ sizeBytes }) => String(sizeBytes), align: 'right' },
    { title: 'MODIFIED', value: ({ modifiedAt }) => modifiedAt.replace(/\.\d+Z$/, 'Z') },
    {
      title: 'NAME',
      value: ({ name, linkTarget }) => (linkTarget === undefined ? name : `${name} -> ${linkTarget}`),
    },
  ];
}
