import type { SnapshotInfo } from '@vivarium/model';
import { formatExpiry } from './snapshots.ts';
import { printable, type Style } from './style.ts';
import { ageOf } from './time.ts';

export interface TreeOptions {
  /** The snapshot that the instance stands on. */
  current?: string | undefined;
  style?: Style;
  now?: number;
}

/**
 * Snapshots as the tree that they grew in, a line for each, below a heading. One whose parent is gone, or whose parents go
 * round in a circle, stands at the top.
 */
export function renderTree(
  heading: string,
  snapshots: readonly SnapshotInfo[],
  { current, style = (_, text) => text, now = Date.now() }: TreeOptions = {},
): string {
  const lines = [printable(heading)];
  const text = (snapshot: SnapshotInfo): string => {
    const { id, name, state, createdAt, expiresAt } = snapshot;
    const expiry = expiresAt === undefined ? '' : `, ends ${formatExpiry(expiresAt, now)}`;
    const facts = style('dim', `(${state}, ${ageOf(createdAt, now)} ago${expiry})`);
    const here = id === current;
    return `${here ? style('bold', printable(name)) : printable(name)} ${facts}${here ? style('green', ' ◀ now') : ''}`;
  };
  const children = childrenOf(snapshots);
  // No recursion: a long life is a deep tree.
  const open = below(children.get(undefined) ?? [], '');
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const { snapshot, indent, last } = next;
    lines.push(`${indent}${last ? '└─ ' : '├─ '}${text(snapshot)}`);
    open.unshift(...below(children.get(snapshot.id) ?? [], `${indent}${last ? '   ' : '│  '}`));
  }
  return `${lines.join('\n')}\n`;
}

const below = (snapshots: readonly SnapshotInfo[], indent: string) =>
  snapshots.map((snapshot, index) => ({ snapshot, indent, last: index === snapshots.length - 1 }));

/** By the id of the parent; those at the top by undefined. */
function childrenOf(snapshots: readonly SnapshotInfo[]): Map<string | undefined, SnapshotInfo[]> {
  const byId = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const children = new Map<string | undefined, SnapshotInfo[]>();
  for (const snapshot of snapshots) {
    const parent = leadsToTop(snapshot, byId) ? snapshot.parentId : undefined;
    const key = parent !== undefined && byId.has(parent) ? parent : undefined;
    children.set(key, [...(children.get(key) ?? []), snapshot]);
  }
  return children;
}

function leadsToTop(snapshot: SnapshotInfo, byId: ReadonlyMap<string, SnapshotInfo>): boolean {
  let steps = 0;
  for (let at: SnapshotInfo | undefined = snapshot; at?.parentId !== undefined; at = byId.get(at.parentId)) {
    if (++steps > byId.size) return false;
  }
  return true;
}
