import type { InstanceInfo, ListOptions, Vivarium } from '@vivarium/model';
import { VivError } from '@vivarium/model';
import type { Context } from './context.ts';
import { parseTags } from './flags/values.ts';
import { instanceColumns } from './render/instances.ts';
import { printList } from './render/table.ts';
import { printFilled } from './render/template.ts';

export interface ListFlags {
  filter?: string[];
  quiet?: boolean;
  format?: string;
  json?: boolean;
}

/** What `--filter` asks for: the part the daemon filters, and the part that is filtered here. */
export interface Filter {
  readonly options: Pick<ListOptions, 'states' | 'tags'>;
  readonly keep: (info: InstanceInfo) => boolean;
}

/** Values of one key widen a filter (state=a or state=b), different keys narrow it; every tag must be there. */
export async function parseFilters(filters: readonly string[]): Promise<Filter> {
  const wanted: Record<'state' | 'tag' | 'name' | 'image', string[]> = {
    state: [],
    tag: [],
    name: [],
    image: [],
  };
  for (const filter of filters) {
    const [, key = '', value = ''] = /^(state|tag|label|name|image)=(.+)$/.exec(filter) ?? [];
    if (key === '') {
      throw new VivError('invalid_request', `Not a filter: ${JSON.stringify(filter)}`, {
        hint: 'Use state=running, tag=KEY, tag=KEY=VALUE, name=PART or image=PART.',
      });
    }
    wanted[key === 'label' ? 'tag' : (key as keyof typeof wanted)].push(value);
  }
  // Only asked for here: a plain listing does not load the life cycle.
  const { allStates } = wanted.state.length === 0 ? { allStates: [] } : await import('@vivarium/lifecycle');
  const named = wanted.state.map((text) => {
    const state = allStates.find((candidate) => candidate.toLowerCase() === text.toLowerCase());
    if (state !== undefined) return state;
    throw new VivError('invalid_request', `${JSON.stringify(text)} is not a state.`, {
      hint: 'See `viv states`.',
    });
  });
  const exact = wanted.tag.filter((tag) => tag.includes('='));
  const keys = wanted.tag.filter((tag) => !tag.includes('='));
  const some = (parts: readonly string[], text: string) =>
    parts.length === 0 || parts.some((part) => text.includes(part));
  return {
    options: {
      ...(named.length === 0 ? {} : { states: named }),
      ...(exact.length === 0 ? {} : { tags: parseTags(exact, '--filter') }),
    },
    keep: ({ name, image, tags }) =>
      keys.every((key) => Object.hasOwn(tags, key)) &&
      some(wanted.name, name) &&
      some(wanted.image, image.reference),
  };
}

/** Every instance that passes the filters, page after page. */
export async function listInstances(vivarium: Vivarium, filters: readonly string[]): Promise<InstanceInfo[]> {
  const { options, keep } = await parseFilters(filters);
  const found: InstanceInfo[] = [];
  for await (const info of vivarium.all({ ...options, limit: 1000 })) if (keep(info)) found.push(info);
  return found;
}

/** As the flags ask: names, JSON, a template's lines, or a table. */
export async function showInstances(
  context: Context,
  found: readonly InstanceInfo[],
  flags: ListFlags,
): Promise<void> {
  const { json, quiet, format } = flags;
  if (format !== undefined && !json && !quiet) return printFilled(context, format, found);
  return printList(context, found, flags, { columns: instanceColumns(), word: ({ name }) => name });
}
