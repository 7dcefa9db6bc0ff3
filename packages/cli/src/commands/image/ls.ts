import { formatSize, type ImageInfo } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { shortReference } from '../../render/instances.ts';
import { shortDigest } from '../../render/progress-lines.ts';
import { type Column, printTable } from '../../render/table.ts';
import { ageOf } from '../../render/time.ts';

/** An image is a row for each of its names, as `docker image ls` has it. */
interface Row {
  reference: string;
  image: ImageInfo;
}

const columns: readonly Column<Row>[] = [
  { title: 'REFERENCE', value: ({ reference }) => reference, shrinks: true },
  { title: 'DIGEST', value: ({ image }) => shortDigest(image.digest) },
  { title: 'LAYERS', value: ({ image }) => String(image.layers.length), align: 'right' },
  { title: 'SIZE', value: ({ image }) => formatSize(image.sizeBytes), align: 'right' },
  { title: 'IMPORTED', value: ({ image }) => `${ageOf(image.importedAt)} ago` },
  { title: 'USED BY', value: ({ image }) => image.usedBy.join(', '), shrinks: true },
];

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('-q, --quiet', 'digests only').option('--json', 'print JSON');
  },
  examples: [['viv image ls', 'what is here']],
  async run(context, _args, flags) {
    const images = await (await context.vivarium()).images.list();
    if (flags.json) await context.printJson(images);
    else if (flags.quiet) await context.print(images.map(({ digest }) => `${digest}\n`).join(''));
    else {
      const rows = images.flatMap((image) =>
        image.references.length === 0
          ? [{ reference: '<none>', image }]
          : image.references.map((reference) => ({ reference: shortReference(reference), image })),
      );
      await printTable(context, columns, rows);
    }
    return 0;
  },
});
