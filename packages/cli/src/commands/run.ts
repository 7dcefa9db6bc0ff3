import { isVivError, type Vm } from '@vivarium/model';
import { type AsyncFlags, asyncOption, printDetached } from '../background.ts';
import { defineCommand } from '../command.ts';
import type { Context } from '../context.ts';
import { type CreateFlags, createOptions, parseCreate } from '../flags/create.ts';
import { withoutSeparator } from '../flags/values.ts';
import { progressView } from '../render/progress.ts';
import { type DriveEnd, drive, statusOf } from '../terminal/drive.ts';
import { requireTerminal, terminalSize } from '../terminal/raw.ts';

interface RunFlags extends CreateFlags, AsyncFlags {
  detach?: boolean;
  quiet?: boolean;
  json?: boolean;
}

export const command = defineCommand<RunFlags>({
  arguments: '<image> [command...]',
  passThrough: true,
  completes: ['image', 'none'],
  options(parser) {
    asyncOption(parser).option('-d, --detach', 'leave the VM running and print its name');
    createOptions(parser);
    parser.option('-q, --quiet', 'no progress').option('--json', 'with -d: print the VM as JSON');
  },
  notes: [
    "Without -d, the command's output is shown here and its exit status is viv's own. Ctrl-C and SIGTERM go to the command; " +
      'the second one stops the VM by force. With -it, Ctrl-P Ctrl-Q leaves and lets the VM go on.',
  ],
  examples: [
    ['viv run --rm busybox -- uname -a', 'one command in a VM of its own'],
    ['viv run -it --rm busybox', 'a shell'],
    ['viv run -d --name web -p 8080:80 busybox -- httpd -f -p 80 -h /etc', 'a server'],
    ['viv run --cpus 2 -m 1GB --network none busybox -- sh -c "nproc; free -m"', 'another shape'],
  ],
  async run(context, [image = '', ...words], flags) {
    const create = parseCreate(flags, image, withoutSeparator(words), context.env);
    if (flags.tty && flags.interactive && !flags.detach && !flags.async) requireTerminal(context);
    const foreground = !flags.detach && !flags.async;
    const { image: reference, ...options } = {
      ...create,
      ...(foreground
        ? { attach: true, stdin: flags.interactive ? ('open' as const) : ('null' as const) }
        : {}),
      ...(flags.tty ? { tty: terminalSize(context) } : {}),
    };
    const vivarium = await context.vivarium();
    if (flags.async) return printDetached(context, vivarium.run(reference, options), flags);
    let vm: Vm;
    {
      using progress = progressView(context, { quiet: flags.quiet });
      vm = await vivarium.run(reference, options, {
        signal: context.signal,
        onProgress: progress.onProgress,
      });
    }
    if (foreground) return runForeground(context, vm, flags);
    await (flags.json ? context.printJson(vm.info) : context.print(`${vm.name}\n`));
    return 0;
  },
});

async function runForeground(context: Context, vm: Vm, flags: RunFlags): Promise<number> {
  const force = async () => void (await vm.stop({ force: true }));
  let end: DriveEnd;
  try {
    const connection = await vm.attach({
      signal: context.signal,
      ...(flags.tty ? { tty: terminalSize(context) } : {}),
    });
    end = await drive(context, connection, {
      interactive: flags.interactive === true,
      tty: flags.tty === true,
      detachable: true,
      force,
    });
  } catch (error) {
    // Nobody sees this VM any more; one that was to be removed must not stay behind running.
    if (flags.rm) await force().catch(() => undefined);
    throw error;
  }
  if (end.kind === 'detached') {
    context.note(`\r\nviv: detached from ${vm.name}; it goes on`);
    return 0;
  }
  await settled(vm, flags.rm === true);
  return statusOf(end);
}

/** The next command must find the VM stopped, or gone: its name is free again then. */
async function settled(vm: Vm, removed: boolean): Promise<void> {
  try {
    await vm.waitFor(removed ? 'Deleted' : ['Stopped', 'Deleted']);
  } catch (error) {
    // Gone is what was waited for; and an end that is not orderly is told by `ps`, not by this command's status.
    if (!isVivError(error, 'not_found', 'invalid_state', 'timeout')) throw error;
  }
}
