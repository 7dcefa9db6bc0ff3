import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { VivError } from '@vivarium/model';
import { defineCommand } from '../../command.ts';

export const command = defineCommand({
  arguments: '<volume> <archive>',
  completes: ['volume', 'file'],
  notes: [
    'ARCHIVE is written as a tar.gz; - is stdout. A volume that a running VM writes to is read through it, as it is while others write.',
  ],
  examples: [
    ['viv volume export data data.tar.gz', 'to a file'],
    ['viv volume export data - | tar tz', 'what is in it'],
  ],
  async run(context, [volume = '', archive = '']) {
    const { volumes } = await context.vivarium();
    const bytes = volumes.export(volume, { signal: context.signal });
    if (archive !== '-') {
      await save(bytes, archive);
      return 0;
    }
    if (context.stdout.isTTY)
      throw new VivError('invalid_request', 'An archive is nothing for a terminal', {
        hint: 'Name a file, or send it on: `viv volume export data - | tar tz`.',
      });
    for await (const chunk of bytes) await context.print(chunk);
    return 0;
  },
});

/** Under its name only once it is whole. */
async function save(bytes: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  const beside = `${file}.part`;
  try {
    await pipeline(bytes, createWriteStream(beside));
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
