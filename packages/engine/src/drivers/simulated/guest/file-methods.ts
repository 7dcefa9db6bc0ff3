import type { Fields } from '@vivarium/protocol';
import { type FileNode, type FileTree, makeNode, Refusal } from './file-tree.ts';
import type { Method, MethodCall } from './simulated-guest.ts';

const none = {};
const mostInAnswer = 200;
const mostBytes = 32 * 1024;

/** The steps on files of the control port, by the names of docs/protocol.md. */
export const fileMethods: Readonly<Record<string, Method>> = {
  'fs.list': ({ system, params }) => {
    const path = params.text('path');
    const node = treeOf({ system, params }).resolve(path, true);
    if (node.kind !== 'directory') throw new Refusal('path_not_found', `${path}: not a directory`, 20);
    const after = params.optionalText('after') ?? '';
    const names = [...node.children.keys()].filter((name) => name > after).sort();
    const entries = names.slice(0, mostInAnswer).map((name) => describe(name, node.children.get(name)));
    return { entries, more: names.length > mostInAnswer };
  },
  'fs.read': ({ system, params }) => {
    const path = params.text('path');
    const node = treeOf({ system, params }).resolve(path, true);
    if (node.kind !== 'file') throw new Refusal('invalid_request', `${path} is not a file`);
    const offset = params.uint('offset');
    const length = Math.min(params.uint('length'), mostBytes);
    return { data: node.data.subarray(offset, offset + length), size: node.data.length };
  },
  'fs.mkdir': ({ system, params }) => {
    const tree = treeOf({ system, params });
    const path = params.text('path');
    const parents = params.optionalBool('parents') ?? false;
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    if (!parents && ['', '.', '..'].includes(lastOf(path))) throw namesNothing(path);
    for (let end = parents ? 1 : parts.length; end <= parts.length; end++) {
      const part = `/${parts.slice(0, end).join('/')}`;
      const there = parents ? find(tree, part) : undefined;
      if (there?.kind === 'directory') continue;
      if (there !== undefined) throw new Refusal('path_not_found', `${path}: not a directory`, 20);
      const { parent, name } = parentOf(tree, part);
      if (parent.children.has(name)) throw new Refusal('conflict', `${path}: exists already`, 17);
      const mode = end === parts.length ? params.optionalUint('mode') : undefined;
      const owner = { uid: params.optionalUint('uid') ?? 0, gid: params.optionalUint('gid') ?? 0 };
      parent.children.set(name, makeNode('directory', mode ?? 0o755, owner));
      tree.changed('created', part);
    }
    return none;
  },
  'fs.remove': ({ system, params }) => {
    const tree = treeOf({ system, params });
    const path = params.text('path');
    const { parent, name } = parentOf(tree, path);
    const node = parent.children.get(name);
    if (node === undefined) throw new Refusal('path_not_found', `${path}: no such file or directory`, 2);
    if (node.children.size > 0 && params.optionalBool('recursive') !== true)
      throw new Refusal('conflict', `${path}: not empty`, 39);
    parent.children.delete(name);
    tree.changed('removed', path);
    return { removed: countOf(node) };
  },
  'fs.rename': ({ system, params }) => {
    const tree = treeOf({ system, params });
    const [from, to] = [params.text('from'), params.text('to')];
    const [old, next] = [parentOf(tree, from), parentOf(tree, to)];
    const node = old.parent.children.get(old.name);
    if (node === undefined) throw new Refusal('path_not_found', `${from}: no such file or directory`, 2);
    if (next.parent.children.has(next.name) && params.optionalBool('replace') === false)
      throw new Refusal('conflict', `${to}: exists already`, 17);
    old.parent.children.delete(old.name);
    next.parent.children.set(next.name, node);
    tree.changed('renamed', to, from);
    return none;
  },
  'fs.attributes': ({ system, params }) => {
    const tree = treeOf({ system, params });
    const path = params.text('path');
    const node = tree.resolve(path, params.optionalBool('follow') ?? false);
    const mode = params.optionalUint('mode');
    if (mode !== undefined && node.kind === 'symlink')
      throw new Refusal('invalid_request', `${path} is a symbolic link, which has no mode of its own`);
    node.mode = mode ?? node.mode;
    node.uid = params.optionalUint('uid') ?? node.uid;
    node.gid = params.optionalUint('gid') ?? node.gid;
    tree.changed('attributes', path);
    return none;
  },
  'fs.watch': ({ system, params, port, stream }) => {
    const tree = treeOf({ system, params });
    const top = params.text('path');
    const recursive = params.optionalBool('recursive') ?? false;
    tree.resolve(top, true);
    const leave = tree.watch((kind, path, from) => {
      const below = relative(top, path);
      if (below === undefined || (!recursive && below.includes('/'))) return;
      const change = { kind, path: below, from: from === undefined ? undefined : relative(top, from) };
      port.event(stream.id, 'change', { changes: [change], lost: false });
      if (kind !== 'removed' || below !== '') return;
      leave();
      stream.reset({ code: 'path_not_found', message: `${top} is not there any more` });
    });
    Object.assign(stream.handler, { reset: leave, lost: leave });
    port.respond(stream, none);
    return undefined;
  },
};

const treeOf = ({ system, params }: Pick<MethodCall, 'system' | 'params'>): FileTree =>
  system.tree(params.text('target'));

const lastOf = (path: string): string => path.replace(/\/+$/, '').split('/').at(-1) ?? '';

const namesNothing = (path: string) =>
  new Refusal('invalid_request', `${path} does not name an entry of a directory`);

function parentOf(tree: FileTree, path: string): { parent: FileNode; name: string } {
  const name = lastOf(path);
  if (['', '.', '..'].includes(name)) throw namesNothing(path);
  const trimmed = path.replace(/\/+$/, '');
  const parent = tree.resolve(trimmed.slice(0, trimmed.lastIndexOf('/')) || '/', true);
  if (parent.kind !== 'directory') throw new Refusal('path_not_found', `${path}: not a directory`, 20);
  return { parent, name };
}

function find(tree: FileTree, path: string): FileNode | undefined {
  try {
    return tree.resolve(path, true);
  } catch (error) {
    if (error instanceof Refusal && error.wire.code === 'path_not_found') return undefined;
    throw error;
  }
}

function describe(name: string, node: FileNode | undefined): object {
  const { kind, mode, uid, gid, mtimeNanos, data, link } = node as FileNode;
  const more = kind === 'symlink' ? { link } : {};
  return { name, kind, size: data.length, mode, uid, gid, mtimeNanos, ...more };
}

const countOf = (node: FileNode): number =>
  [...node.children.values()].reduce((sum, child) => sum + countOf(child), 1);

function relative(top: string, path: string): string | undefined {
  const base = top === '/' ? '/' : `${top}/`;
  if (path === top) return '';
  return path.startsWith(base) ? path.slice(base.length) : undefined;
}

/** What an exec session holds of an output. */
export function readOutput({ system, params }: { system: MethodCall['system']; params: Fields }): object {
  const session = system.session(params.text('execId'));
  const stream = params.text('stream');
  if (stream !== 'stdout' && stream !== 'stderr')
    throw new Refusal('invalid_request', 'there is no output of that kind');
  const output = session.spec[stream];
  const from = Math.min(Math.max(params.optionalUint('from') ?? 0, output.base), output.end);
  const data = from < output.end ? output.slice(from, mostBytes) : Buffer.alloc(0);
  return { from, data, over: session.exit !== undefined && from + data.length === output.end };
}
