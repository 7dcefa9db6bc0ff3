import { parseSize } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { parseCount } from '../../flags/values.ts';
import { forOne } from '../../render/progress.ts';

interface WarmFlags {
  cpus?: string;
  memory?: string;
  disk?: string;
  quiet?: boolean;
  json?: boolean;
}

export const command = defineCommand<WarmFlags>({
  arguments: '[image]',
  completes: ['image'],
  options(parser) {
    parser
      .option('--cpus <n>', 'vCPUs of the VMs to come (default: 1)')
      .option('-m, --memory <size>', 'their memory (default: 256MB)')
      .option('--disk <size>', 'size of their disk (default: 10GB)')
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print the templates as JSON, a line for each');
  },
  notes: [
    'Prints the ids. What is there already is not made again. Templates are made by the first start that could have used one too: this only ' +
      'takes the wait away.',
  ],
  examples: [
    ['viv template warm busybox', 'the first run of busybox is as fast as the others'],
    ['viv template warm -m 1GB --cpus 2', 'for any image, in another shape'],
  ],
  async run(context, [image], { cpus, memory, disk, ...flags }) {
    const options = {
      ...(image === undefined ? {} : { image }),
      ...(cpus === undefined ? {} : { cpus: parseCount(cpus, '--cpus', 1) }),
      ...(memory === undefined ? {} : { memory: parseSize(memory, 'memory size') }),
      ...(disk === undefined ? {} : { disk: parseSize(disk, 'disk size') }),
    };
    const { templates } = await context.vivarium();
    const made = await forOne(context, [], flags)((call) => templates.warm({ ...options, ...call }));
    for (const template of made)
      await (flags.json ? context.printJson(template, 'line') : context.print(`${template.id}\n`));
    return 0;
  },
});
