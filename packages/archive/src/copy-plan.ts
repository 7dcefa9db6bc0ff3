import path from 'node:path';
import { VivError } from '@vivarium/model';

/** The thing to copy. */
export interface Source {
  /** Its own last component; empty for a root directory. */
  name: string;
  directory: boolean;
  /** Written with a final `/.`: its contents rather than itself. */
  contents: boolean;
}

/** Where it is to go. */
export interface Target {
  path: string;
  /** What is there, symbolic links followed; undefined when nothing is. */
  existing: 'file' | 'directory' | 'other' | undefined;
}

/** An archive's root goes into `directory` under `name`; `.` makes its contents the directory's own. */
export interface CopyPlan {
  directory: string;
  name: string;
}

/**
 * Where a copy lands: the rules of `docker cp`. A file replaces a file or goes into a directory; a directory goes into
 * an existing directory, or becomes a missing one; `dir/.` gives its contents.
 */
export function planCopy(source: Source, target: Target): CopyPlan {
  const into = stripSlashes(target.path);
  if (target.existing === 'directory')
    return { directory: into, name: source.contents ? '.' : source.name || '.' };
  const asDirectory = /\/\.?$/.test(target.path);
  if (target.existing !== undefined) {
    if (source.directory)
      throw new VivError('conflict', `${target.path} is no directory: a directory can't be copied onto it`);
    if (asDirectory) throw new VivError('conflict', `${target.path} is no directory`);
  } else if (asDirectory && !source.directory) {
    throw new VivError('path_not_found', `${target.path}: no such directory`, {
      hint: 'Without the final slash the file itself gets that name.',
    });
  }
  return { directory: path.posix.dirname(into), name: path.posix.basename(into) };
}

/** A path as the user wrote it, taken apart: what to read, and what its name and form say. */
export function sourceOf(written: string): { path: string; name: string; contents: boolean } {
  const contents = written === '.' || written.endsWith('/.');
  const bare = stripSlashes(contents ? written.slice(0, -1) || '.' : written);
  const base = path.posix.basename(bare);
  return { path: bare, name: base === '.' || base === '..' ? '' : base, contents };
}

/** The name of an archive's entry once its root `from` is called `to`; `.` drops the root. */
export function nameRoot(entryName: string, from: string, to: string): string {
  const clean = entryName.replace(/^(\.\/)+/, '');
  let rest = clean;
  if (from !== '') {
    if (clean !== from && !clean.startsWith(`${from}/`)) {
      throw new VivError(
        'archive_hostile',
        `The archive of ${from} has an entry outside of it: ${JSON.stringify(entryName)}`,
      );
    }
    rest = clean.slice(from.length).replace(/^\/+/, '');
  }
  if (to === '.') return rest === '' ? '.' : rest;
  return rest === '' || rest === '.' ? to : `${to}/${rest}`;
}

function stripSlashes(written: string): string {
  return written.replace(/(?<=.)\/+$/, '') || '/';
}
