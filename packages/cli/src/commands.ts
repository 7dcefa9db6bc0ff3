import type { CliCommand } from './command.ts';
import { copyCommands } from './copy-commands.ts';
import { guestCommands } from './guest-commands.ts';
import { operationCommands } from './operation-commands.ts';
import { volumeCommands } from './volume-commands.ts';

/** Headings of the help page, in order. */
export const groups = [
  'Run',
  'Life cycle',
  'Look',
  'Work inside',
  'Copies',
  'Volumes',
  'Images',
  'Host',
] as const;

export interface CommandEntry {
  /** As it is typed; two words for a command inside a group command: `image ls`. */
  readonly name: string;
  readonly summary: string;
  readonly group: (typeof groups)[number];
  readonly aliases?: readonly string[];
  readonly load: () => Promise<{ command: CliCommand }>;
}

/**
 * Every command. Dispatch, help, completion and docs/cli.md are made from this table; loading is lazy, so that
 * a command pays for its own imports only.
 */
export const commands: readonly CommandEntry[] = [
  {
    name: 'run',
    summary: 'Create and start a VM from an image',
    group: 'Run',
    load: () => import('./commands/run.ts'),
  },
  {
    name: 'create',
    summary: 'Create a VM without starting it',
    group: 'Run',
    load: () => import('./commands/create.ts'),
  },
  {
    name: 'start',
    summary: 'Start VMs, or let suspended ones go on',
    group: 'Life cycle',
    load: () => import('./commands/start.ts'),
  },
  {
    name: 'stop',
    summary: 'Stop VMs: ask the guest, then force',
    group: 'Life cycle',
    load: () => import('./commands/stop.ts'),
  },
  {
    name: 'restart',
    summary: 'Stop and start VMs',
    group: 'Life cycle',
    load: () => import('./commands/restart.ts'),
  },
  {
    name: 'prepare',
    summary: 'Bring up the VMM without booting the guest',
    group: 'Life cycle',
    load: () => import('./commands/prepare.ts'),
  },
  {
    name: 'shutdown',
    summary: 'Shut the guest down and keep its VMM',
    group: 'Life cycle',
    load: () => import('./commands/shutdown.ts'),
  },
  {
    name: 'pause',
    summary: 'Freeze the vCPUs of VMs',
    group: 'Life cycle',
    load: () => import('./commands/pause.ts'),
  },
  {
    name: 'resume',
    summary: 'Let paused VMs go on',
    group: 'Life cycle',
    aliases: ['unpause'],
    load: () => import('./commands/resume.ts'),
  },
  {
    name: 'suspend',
    summary: 'Save the memory of VMs to disk and end them',
    group: 'Life cycle',
    load: () => import('./commands/suspend.ts'),
  },
  {
    name: 'limits',
    summary: 'Limit what a VM may use, and show who keeps it to that',
    group: 'Life cycle',
    load: () => import('./commands/limits.ts'),
  },
  {
    name: 'standby',
    summary: 'Suspend a VM when it is idle, and say when that will be',
    group: 'Life cycle',
    load: () => import('./commands/standby.ts'),
  },
  {
    name: 'discard',
    summary: 'Give the saved memory of suspended VMs up',
    group: 'Life cycle',
    load: () => import('./commands/discard.ts'),
  },
  {
    name: 'rm',
    summary: 'Delete VMs and their disks',
    group: 'Life cycle',
    aliases: ['delete'],
    load: () => import('./commands/rm.ts'),
  },
  {
    name: 'rename',
    summary: 'Give a VM another name',
    group: 'Life cycle',
    load: () => import('./commands/rename.ts'),
  },
  {
    name: 'update',
    summary: 'Change restart policy, health check, expiry, environment or tags of VMs',
    group: 'Life cycle',
    load: () => import('./commands/update.ts'),
  },
  {
    name: 'resize',
    summary: 'Grow the root disk of a VM',
    group: 'Life cycle',
    load: () => import('./commands/resize.ts'),
  },
  {
    name: 'wait',
    summary: 'Wait until VMs stop and print their exit codes',
    group: 'Life cycle',
    load: () => import('./commands/wait.ts'),
  },
  {
    name: 'ps',
    summary: 'List the VMs that are up or suspended',
    group: 'Look',
    load: () => import('./commands/ps.ts'),
  },
  {
    name: 'ls',
    summary: 'List all VMs',
    group: 'Look',
    aliases: ['list'],
    load: () => import('./commands/ls.ts'),
  },
  {
    name: 'inspect',
    summary: 'Show everything about VMs',
    group: 'Look',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'logs',
    summary: 'Show what a VM printed',
    group: 'Look',
    load: () => import('./commands/logs.ts'),
  },
  {
    name: 'stats',
    summary: 'Show CPU, memory, disk and network use',
    group: 'Look',
    load: () => import('./commands/stats.ts'),
  },
  {
    name: 'events',
    summary: 'Show what happens, as it happens',
    group: 'Look',
    load: () => import('./commands/events.ts'),
  },
  {
    name: 'top',
    summary: 'Watch what the running VMs use',
    group: 'Look',
    load: () => import('./commands/top.ts'),
  },
  ...operationCommands,
  {
    name: 'exec',
    summary: 'Run a command in a running VM',
    group: 'Work inside',
    load: () => import('./commands/exec.ts'),
  },
  {
    name: 'attach',
    summary: "Join the input and output of a VM's own command",
    group: 'Work inside',
    load: () => import('./commands/attach.ts'),
  },
  {
    name: 'console',
    summary: 'Open the serial console of a VM',
    group: 'Work inside',
    load: () => import('./commands/console.ts'),
  },
  {
    name: 'cp',
    summary: 'Copy files into or out of a VM',
    group: 'Work inside',
    load: () => import('./commands/cp.ts'),
  },
  ...guestCommands,
  ...copyCommands,
  ...volumeCommands,
  {
    name: 'pull',
    summary: 'Fetch images from a registry',
    group: 'Images',
    load: () => import('./commands/image/pull.ts'),
  },
  {
    name: 'image ls',
    summary: 'List the images of this host',
    group: 'Images',
    aliases: ['image list'],
    load: () => import('./commands/image/ls.ts'),
  },
  {
    name: 'image pull',
    summary: 'Fetch images from a registry',
    group: 'Images',
    load: () => import('./commands/image/pull.ts'),
  },
  {
    name: 'image import',
    summary: 'Import an OCI layout, an OCI archive or a docker save file',
    group: 'Images',
    load: () => import('./commands/image/import.ts'),
  },
  {
    name: 'image rm',
    summary: 'Remove images that no VM uses',
    group: 'Images',
    aliases: ['image remove'],
    load: () => import('./commands/image/rm.ts'),
  },
  {
    name: 'image tag',
    summary: 'Give an image another name',
    group: 'Images',
    load: () => import('./commands/image/tag.ts'),
  },
  {
    name: 'image inspect',
    summary: 'Show everything about images',
    group: 'Images',
    load: () => import('./commands/image/inspect.ts'),
  },
  {
    name: 'setup',
    summary: 'Install and build what this host needs',
    group: 'Host',
    load: () => import('./commands/setup.ts'),
  },
  {
    name: 'doctor',
    summary: 'Check what this host can do and what stands in the way',
    group: 'Host',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'resources',
    summary: 'Show what this host has, and what VMs have of it',
    group: 'Host',
    load: () => import('./commands/resources.ts'),
  },
  {
    name: 'reclaim',
    summary: 'Suspend idle VMs until so much memory is free',
    group: 'Host',
    load: () => import('./commands/reclaim.ts'),
  },
  {
    name: 'config show',
    summary: 'Show the configuration',
    group: 'Host',
    load: () => import('./commands/config/show.ts'),
  },
  {
    name: 'config path',
    summary: 'Print where the configuration is',
    group: 'Host',
    load: () => import('./commands/config/path.ts'),
  },
  {
    name: 'config check',
    summary: 'Check the configuration',
    group: 'Host',
    load: () => import('./commands/config/check.ts'),
  },
  {
    name: 'daemon start',
    summary: 'Start vivd, as every other command does when it is needed',
    group: 'Host',
    load: () => import('./commands/daemon/start.ts'),
  },
  {
    name: 'daemon stop',
    summary: 'Stop vivd; VMs go on',
    group: 'Host',
    load: () => import('./commands/daemon/stop.ts'),
  },
  {
    name: 'daemon status',
    summary: 'Say whether vivd runs',
    group: 'Host',
    load: () => import('./commands/daemon/status.ts'),
  },
  {
    name: 'daemon logs',
    summary: 'Show the log of vivd',
    group: 'Host',
    load: () => import('./commands/daemon/logs.ts'),
  },
  {
    name: 'token create',
    summary: 'Make a token for the daemon’s TCP address',
    group: 'Host',
    load: () => import('./commands/token/create.ts'),
  },
  {
    name: 'token ls',
    summary: 'List tokens',
    group: 'Host',
    aliases: ['token list'],
    load: () => import('./commands/token/ls.ts'),
  },
  {
    name: 'token revoke',
    summary: 'Revoke tokens, at once',
    group: 'Host',
    aliases: ['token rm'],
    load: () => import('./commands/token/revoke.ts'),
  },
  {
    name: 'states',
    summary: 'Print the life cycle, or what can be done with a VM now',
    group: 'Host',
    load: () => import('./commands/states.ts'),
  },
  {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    group: 'Host',
    load: () => import('./commands/completion.ts'),
  },
  {
    name: 'version',
    summary: 'Print versions',
    group: 'Host',
    load: () => import('./commands/version.ts'),
  },
];

/** First words of two-word commands: `image`, `daemon`. */
export const commandFamilies: readonly string[] = [
  ...new Set(commands.filter(({ name }) => name.includes(' ')).map(({ name }) => name.split(' ')[0] ?? '')),
];

/** The command whose name or alias the words begin with, and how many words that took. */
export function findCommand(words: readonly string[]): { entry: CommandEntry; used: number } | undefined {
  for (const used of [2, 1]) {
    if (words.length < used) continue;
    const typed = words.slice(0, used).join(' ');
    const entry = commands.find(({ name, aliases }) => name === typed || aliases?.includes(typed));
    if (entry !== undefined) return { entry, used };
  }
  return undefined;
}
