import { VivError, type VmFiles } from '@vivarium/model';
import type { Context } from '../context.ts';

/** `NAME:PATH`. @throws VivError `invalid_request`. */
function parseGuestPath(text: string): { vm: string; path: string } {
  const at = text.indexOf(':');
  if (at > 0 && at < text.length - 1 && !text.slice(0, at).includes('/'))
    return { vm: text.slice(0, at), path: text.slice(at + 1) };
  throw new VivError('invalid_request', `Not a path in a VM: ${JSON.stringify(text)}`, {
    hint: 'Write NAME:PATH, as in web:/srv.',
  });
}

/** The files of the VM that a `NAME:PATH` names. @throws VivError `invalid_request`, `not_found`. */
export async function filesAt(
  context: Context,
  text: string,
): Promise<{ vm: string; path: string; files: VmFiles }> {
  const { vm, path } = parseGuestPath(text);
  const { files } = await (await context.vivarium()).get(vm);
  return { vm, path, files };
}

/** The other path of a pair: in the same VM, with or without its name. */
export function pathIn(vm: string, text: string): string {
  return text.startsWith(`${vm}:`) ? parseGuestPath(text).path : text;
}
