import { type FileChange, VivError, type VmFiles } from '@vivarium/model';

type Steps = Pick<VmFiles, 'list' | 'mkdir' | 'remove' | 'rename' | 'setAttributes' | 'watch'>;

/** Steps on files that are entries of a map, and told of as calls. */
export function fakeFileSteps(disk: Map<string, Buffer>, calls: string[]): Steps {
  const need = (path: string): Buffer => {
    const data = disk.get(path);
    if (data === undefined) throw new VivError('path_not_found', `${path}: no such file or directory`);
    return data;
  };
  const shown = (options: object | undefined) => (options === undefined ? '' : ` ${JSON.stringify(options)}`);
  return {
    async list(path) {
      const top = path.endsWith('/') ? path : `${path}/`;
      const names = [...disk.keys()].filter((name) => name.startsWith(top));
      return names.map((name) => ({
        name: name.slice(top.length),
        kind: 'file',
        sizeBytes: need(name).length,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modifiedAt: '2026-01-02T03:04:05.000Z',
      }));
    },
    mkdir: async (path, options) => void calls.push(`mkdir ${path}${shown(options)}`),
    async remove(path, options) {
      if (!disk.delete(path) && !options?.force) need(path);
      calls.push(`remove ${path}${shown(options)}`);
      return { removed: 1 };
    },
    async rename(from, to, options) {
      disk.set(to, need(from));
      disk.delete(from);
      calls.push(`rename ${from} ${to}${shown(options)}`);
    },
    setAttributes: async (path, attributes) => void calls.push(`attributes ${path}${shown(attributes)}`),
    async watch(path) {
      async function* changes(): AsyncGenerator<FileChange> {
        yield { kind: 'created', path: `${path}/new` };
        yield { kind: 'renamed', path: `${path}/b`, from: `${path}/a` };
      }
      return changes();
    },
  };
}
