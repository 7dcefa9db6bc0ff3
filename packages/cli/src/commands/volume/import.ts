import { createReadStream } from 'node:fs';
import { VivError } from '@vivarium/model';
import { defineCommand, repeat } from '../../command.ts';
import { parseTags } from '../../flags/values.ts';

export const command = defineCommand<{ size?: string; label?: string[]; json?: boolean }>({
  arguments: '<archive> [name]',
  completes: ['file', 'none'],
  options(parser) {
    parser
      .option('-s, --size <size>', 'how much it holds at most, sparse (default: 10GB)')
      .option('-l, --label <key=value>', 'tag the volume', repeat)
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
  async run(context, [archive = '', name], { size = '10GB', label = [], json }) {
    const { volumes } = await context.vivarium();
    const source = archive === '-' ? context.stdin : readable(archive);
    const made = await volumes.import(source, {
      size,
      tags: parseTags(label, '--label'),
      signal: context.signal,
      ...(name === undefined ? {} : { name }),
    });
    await (json ? context.printJson(made) : context.print(`${made.name}\n`));
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
