import path from 'node:path';
import { type AsyncFlags, asyncOption, printDetached } from '../../background.ts';
import { defineCommand } from '../../command.ts';
import { progressView } from '../../render/progress.ts';

export const command = defineCommand<AsyncFlags & { quiet?: boolean }>({
  arguments: '<path> [reference]',
  completes: ['file', 'none'],
  options(parser) {
    asyncOption(parser)
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print the images as JSON, a line for each');
  },
  notes: [
    'PATH is an OCI layout (a directory or a tar of one) or a file made by docker save or podman save.',
  ],
  examples: [
    ['docker save app:1 -o app.tar && viv image import app.tar', 'out of Docker'],
    ['viv image import ./layout app:2', 'a layout that does not name its image'],
  ],
  async run(context, [file = '', reference], flags) {
    const { images } = await context.vivarium();
    const name = reference === undefined ? {} : { reference };
    if (flags.async) return printDetached(context, images.import(path.resolve(file), name), flags);
    using progress = progressView(context, { quiet: flags.quiet });
    const imported = await images.import(path.resolve(file), {
      signal: context.signal,
      onProgress: progress.onProgress,
      ...name,
    });
    progress[Symbol.dispose]();
    for (const image of imported) {
      if (flags.json) await context.printJson(image, 'line');
      else
        for (const name of image.references.length === 0 ? [image.digest] : image.references)
          await context.print(`${name}\n`);
    }
    return 0;
  },
});
