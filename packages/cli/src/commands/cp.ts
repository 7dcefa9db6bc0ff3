import path from 'node:path';
import { formatSize, type Vm } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import type { Context } from '../context.ts';
import { type CopyPlan, planCopy } from '../flags/copy-paths.ts';

interface CopyFlags {
  followLink?: boolean;
  quiet?: boolean;
}

export const command = defineCommand<CopyFlags>({
  arguments: '<source> <target>',
  completes: ['guest-path', 'guest-path'],
  options(parser) {
    parser
      .option('-L, --follow-link', 'follow a symbolic link at the source')
      .option('-q, --quiet', 'no summary');
  },
  notes: [
    'One of the two is NAME:PATH. Directories are copied whole, with modes, owners, links and times; whether the target ' +
      'exists decides whether the source lands in it or becomes it, as with cp -a. - is a tar stream: from stdin it is ' +
      'unpacked in a directory of the VM, to stdout it is what is copied out.',
  ],
  examples: [
    ['viv cp ./site web:/srv/', 'into the VM'],
    ['viv cp web:/etc/passwd .', 'out of it'],
    ['tar c . | viv cp - web:/srv', 'a tar stream in'],
    ['viv cp web:/srv - | tar t', 'a tar stream out'],
  ],
  async run(context, [source = '', target = ''], flags) {
    const plan = planCopy(source, target);
    const vm = await (await context.vivarium()).get(plan.vm);
    const moved = await copy(context, vm, plan, flags);
    if (!flags.quiet && moved !== undefined && context.stderr.isTTY) {
      context.note(
        `copied ${moved.entries} ${moved.entries === 1 ? 'entry' : 'entries'}, ${formatSize(moved.bytes)}`,
      );
    }
    return 0;
  },
});

async function copy(
  context: Context,
  vm: Vm,
  plan: CopyPlan,
  flags: CopyFlags,
): Promise<{ bytes: number; entries: number } | undefined> {
  const options = { signal: context.signal, ...(flags.followLink ? { followLinks: true } : {}) };
  if (plan.way === 'in') {
    return plan.from === undefined
      ? vm.files.putArchive(plan.to, context.stdin, options)
      : vm.files.copyIn(absolute(plan.from), plan.to, options);
  }
  if (plan.to !== undefined) return vm.files.copyOut(plan.from, absolute(plan.to), options);
  for await (const chunk of vm.files.getArchive(plan.from, options)) await context.print(chunk);
  return undefined;
}

/** Against our working directory; `dir/` and `dir/.` keep their meaning (the contents, or a directory that must exist). */
function absolute(hostPath: string): string {
  const resolved = path.resolve(hostPath);
  if (/(^|\/)\.$/.test(hostPath)) return `${resolved}/.`;
  return hostPath.endsWith('/') && resolved !== '/' ? `${resolved}/` : resolved;
}
