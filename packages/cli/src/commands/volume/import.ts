import { createReadStream } from 'node:fs';
import { VivError } from '@vivarium/model';
import { type AsyncFlags, asyncOption, printDetached } from '../../background.ts';
import { defineCommand, repeat } from '../../command.ts';
import { parseTags } from '../../flags/values.ts';
import { progressView } from '../../render/progress.ts';

interface Flags extends AsyncFlags {
  size?: string;
  label?: string[];
  quiet?: boolean;
}

export const command = defineCommand<Flags>({
  arguments: '<archive> [name]',
  completes: ['file', 'none'],
  options(parser) {
    asyncOption(parser)
      .option('-s, --size <size>', 'how much it holds at most, sparse (default: 10GB)')
      .option('-l, --label <key=value>', 'tag the volume', repeat)
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print the volume as JSON');
  },
  notes: [
    'ARCHIVE is a tar, plain or compressed by gzip or zstd; - is stdin. Owners, modes, times and links are kept. An entry or a hard ' +
      'link that leads out of it, a device, or a bomb is refused, and nothing is left of the volume then.',
  ],
  examples: [
    ['viv volume import site.tar.gz site', 'from a file'],
    ['tar cz -C ./site . | viv volume import - site --size 1GB', 'from a directory'],
  ],
  async run(context, [archive = '', name], { size = '10GB', label = [], ...flags }) {
    const { volumes } = await context.vivarium();
    const source = archive === '-' ? context.stdin : readable(archive);
    const options = { size, tags: parseTags(label, '--label'), ...(name === undefined ? {} : { name }) };
    if (flags.async) return printDetached(context, volumes.import(source, options), flags);
    using progress = progressView(context, flags);
    const { onProgress } = progress;
    const made = await volumes.import(source, { ...options, signal: context.signal, onProgress });
    progress[Symbol.dispose]();
    await (flags.json ? context.printJson(made) : context.print(`${made.name}\n`));
    return 0;
  },
});

async function* readable(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new VivError('path_not_found', `${file}: no such file on this machine`, { cause });
  }
}
