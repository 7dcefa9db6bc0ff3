import { defineCommand, repeat } from '../../command.ts';
import { parseTags } from '../../flags/values.ts';
import { progressView } from '../../render/progress.ts';

export const command = defineCommand<{
  insecure?: boolean;
  label?: string[];
  quiet?: boolean;
  json?: boolean;
}>({
  arguments: '<reference...>',
  completes: ['image'],
  options(parser) {
    parser
      .option('--insecure', 'allow plain http and certificates that cannot be checked')
      .option('-l, --label <key=value>', 'tag the image; replaces the tags it has', repeat)
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print the images as JSON, a line for each');
  },
  notes: ['Credentials are those of `docker login` (~/.docker/config.json). localhost needs no --insecure.'],
  examples: [['viv pull localhost:5000/app:1', 'from a registry on this machine']],
  async run(context, references, flags) {
    const { images } = await context.vivarium();
    for (const reference of references) {
      const progress = progressView(context, { quiet: flags.quiet });
      try {
        const image = await images.pull(reference, {
          signal: context.signal,
          onProgress: progress.onProgress,
          ...(flags.insecure ? { insecure: true } : {}),
          ...(flags.label === undefined ? {} : { tags: parseTags(flags.label, '--label') }),
        });
        progress[Symbol.dispose]();
        await (flags.json ? context.printJson(image, 'line') : context.print(`${image.digest}\n`));
      } finally {
        progress[Symbol.dispose]();
      }
    }
    return 0;
  },
});
