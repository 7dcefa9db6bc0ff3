import type { ImageConfig } from '@vivarium/model';

/** What nearly every command reads on its way: the shell, accounts, and the usual loaders and C libraries. */
const usual = [
  '/bin/sh',
  '/etc/passwd',
  '/etc/group',
  '/etc/ld.so.cache',
  '/lib64/ld-linux-x86-64.so.2',
  '/lib64/libc.so.6',
  '/lib/x86_64-linux-gnu/libc.so.6',
  '/lib/ld-musl-x86_64.so.1',
];
const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Files of an image that its first command will want, by names of which some may not exist. Reading them unpacks them: under TCG a
 * busybox costs a start 40 ms otherwise.
 */
export function filesToWarm(config: ImageConfig | undefined): string[] {
  const command = config?.entrypoint[0] ?? config?.cmd[0];
  if (command === undefined) return usual;
  if (command.includes('/')) return [...usual, command];
  const path = config?.env.PATH ?? usualPath;
  return [...usual, ...path.split(':').map((directory) => `${directory}/${command}`)];
}
