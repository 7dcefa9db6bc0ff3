import { mostVolumes, VivError, type VolumeMode, type VolumeMount } from '@vivarium/model';

/** Directories that no volume may hide: without them a guest is none, or its own file systems would be hidden. */
const systemDirectories: ReadonlySet<string> = new Set([
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/proc',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
]);
/** In these nothing of a volume would be seen: the guest mounts its own over them. */
const coveredDirectories = ['/dev', '/proc', '/run', '/sys'];
const longestPath = 1024;
const modes: readonly string[] = ['rw', 'ro', 'overlay'] satisfies VolumeMode[];

function invalid(path: unknown, why: string): VivError {
  return new VivError('invalid_request', `Not a place for a volume: ${JSON.stringify(path)} (${why})`, {
    hint: 'Use an absolute path such as /data or /var/lib/app.',
  });
}

/** @returns the path without a slash at its end. @throws VivError `invalid_request`. */
export function checkPath(path: string): string {
  if (typeof path !== 'string' || !path.startsWith('/')) throw invalid(path, 'it is not absolute');
  const parts = path.split('/').slice(1);
  if (parts.at(-1) === '') parts.pop();
  if (parts.length === 0) throw invalid(path, 'that is the root');
  if (parts.some((part) => part === '' || part === '.' || part === '..' || part.length > 255))
    throw invalid(path, 'it has an empty part, . or .., or one that is too long');
  if (path.length > longestPath || /[\u0000-\u001f\u007f]/.test(path))
    throw invalid(path, 'it is too long, or has control characters');
  const clean = `/${parts.join('/')}`;
  const covered = coveredDirectories.some((directory) => clean.startsWith(`${directory}/`));
  if (covered || systemDirectories.has(clean)) throw invalid(path, 'it is a directory of the system');
  return clean;
}

/** @throws VivError `invalid_request`. */
export function checkMode(mode: VolumeMode | undefined): void {
  if (mode !== undefined && !modes.includes(mode))
    throw new VivError('invalid_request', `Not a mode of a volume: ${JSON.stringify(mode)}`, {
      hint: `One of ${modes.join(', ')}.`,
    });
}

const within = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`);

/** @throws VivError `conflict` where a path is another one's, above or below it. */
export function checkApart(path: string, others: readonly string[]): void {
  const other = others.find((each) => within(path, each) || within(each, path));
  if (other === undefined) return;
  throw new VivError(
    'conflict',
    other === path ? `Another volume is at ${path}` : `${path} and ${other} lie in each other`,
    { hint: 'Each volume needs a place of its own.' },
  );
}

/** What can be judged before anything is looked up. @throws VivError `invalid_request`, `conflict`. */
export function checkMounts(mounts: readonly VolumeMount[] = []): void {
  if (mounts.length > mostVolumes)
    throw new VivError('invalid_request', `${mounts.length} volumes; an instance has ${mostVolumes} at most`);
  const paths: string[] = [];
  for (const { path, mode } of mounts) {
    checkMode(mode);
    const clean = checkPath(path);
    checkApart(clean, paths);
    paths.push(clean);
  }
}
