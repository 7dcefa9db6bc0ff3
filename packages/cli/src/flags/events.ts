import { type EventFilter, VivError } from '@vivarium/model';

const keys = ['instance', 'type', 'kind'] as const;

/** `--filter KEY=VALUE` of events. @throws VivError `invalid_request`. */
export function eventFilter(filters: readonly string[]): EventFilter {
  const found: Record<(typeof keys)[number], string[]> = { instance: [], type: [], kind: [] };
  for (const filter of filters) {
    const at = filter.indexOf('=');
    const key = keys.find((one) => one === filter.slice(0, at));
    if (key === undefined) {
      throw new VivError('invalid_request', `--filter ${filter}: not a filter of events`, {
        hint: `Known are ${keys.map((one) => `${one}=…`).join(', ')}.`,
      });
    }
    found[key].push(filter.slice(at + 1));
  }
  const [instance, other] = found.instance;
  if (other !== undefined)
    throw new VivError('invalid_request', 'Events are filtered by one instance, or none');
  return {
    ...(instance === undefined ? {} : { instance }),
    ...(found.type.length === 0 ? {} : { types: found.type }),
    ...(found.kind.length === 0 ? {} : { kinds: found.kind }),
  };
}
