import { defineCommand } from '../../command.ts';
import { forOne } from '../../render/progress.ts';

export const command = defineCommand<{ start?: boolean; quiet?: boolean; json?: boolean }>({
  arguments: '<name> <snapshot>',
  completes: ['instance', 'snapshot'],
  options(parser) {
    parser
      .option('--start', 'and let it go on from there')
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print what changed as JSON');
  },
  notes: [
    'The VM becomes what the snapshot holds and keeps its id, name, address and ports: Suspended where there is memory, else Stopped. ' +
      'What it has become since is lost, unless that was kept too. One that runs has to be stopped or suspended first.',
  ],
  examples: [['viv stop web && viv snapshot restore --start web snap1', 'back to where it was']],
  async run(context, [name = '', snapshot = ''], flags) {
    const vm = await (await context.vivarium()).get(name);
    const { changed, state } = await forOne(
      context,
      [],
      flags,
    )(async (call) => {
      const restored = await vm.snapshots.restore(snapshot, call);
      return flags.start ? vm.start(call) : restored;
    });
    if (flags.json) await context.printJson({ id: vm.id, name: vm.name, changed, state }, 'line');
    else await context.print(`${vm.name}\n`);
    return 0;
  },
});
