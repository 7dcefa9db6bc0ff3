import { VivError } from '@vivarium/model';

/** One end of a copy. */
export type CopyEnd =
  | { kind: 'guest'; vm: string; path: string }
  | { kind: 'host'; path: string }
  | { kind: 'stream' };

/**
 * `NAME:PATH` is in a VM, `-` is a tar stream on stdin or stdout, anything else is on this machine. As in Docker, a path
 * that begins with `/` or `.` or has a slash before its first colon is one of this machine, whatever colons it has.
 */
export function parseCopyEnd(text: string): CopyEnd {
  if (text === '-') return { kind: 'stream' };
  if (text === '') throw new VivError('invalid_request', 'A path to copy is empty.');
  const colon = text.indexOf(':');
  const vm = text.slice(0, Math.max(colon, 0));
  if (vm === '' || text.startsWith('.') || vm.includes('/')) return { kind: 'host', path: text };
  const path = text.slice(colon + 1);
  if (path === '') {
    throw new VivError('invalid_request', `${JSON.stringify(text)} names no path in the VM.`, {
      hint: `Use ${vm}:/PATH; \`${vm}:.\` is its working directory.`,
    });
  }
  return { kind: 'guest', vm, path };
}

export type CopyPlan =
  | { way: 'in'; vm: string; from: string | undefined; to: string }
  | { way: 'out'; vm: string; from: string; to: string | undefined };

/** Which way a copy goes; an absent path is our stdin or stdout. Exactly one end must be in a VM. */
export function planCopy(source: string, target: string): CopyPlan {
  const from = parseCopyEnd(source);
  const to = parseCopyEnd(target);
  if (to.kind === 'guest' && from.kind !== 'guest') {
    return { way: 'in', vm: to.vm, from: from.kind === 'host' ? from.path : undefined, to: to.path };
  }
  if (from.kind === 'guest' && to.kind !== 'guest') {
    return { way: 'out', vm: from.vm, from: from.path, to: to.kind === 'host' ? to.path : undefined };
  }
  throw new VivError(
    'invalid_request',
    from.kind === 'guest' ? 'A copy from one VM to another is not supported.' : 'Neither path is in a VM.',
    {
      hint:
        from.kind === 'guest'
          ? 'Pipe one into the other: viv cp a:/dir - | viv cp - b:/'
          : 'Use NAME:PATH for the one that is: viv cp ./file web:/srv/',
    },
  );
}
