import { type InstanceStats, isVivError, type Vivarium, type Vm } from '@vivarium/model';
import type { Usage } from './render/usage.ts';

async function running(vivarium: Vivarium, names: readonly string[]): Promise<Vm[]> {
  const wanted = [...names];
  if (names.length === 0) for await (const { id } of vivarium.all({ states: ['Running'] })) wanted.push(id);
  const found = await Promise.all(
    wanted.map(async (name) => {
      try {
        return await vivarium.get(name);
      } catch (error) {
        if (isVivError(error, 'not_found')) return undefined;
        throw error;
      }
    }),
  );
  return found.filter((vm) => vm?.info.state === 'Running') as Vm[];
}

/** What the named VMs use, or all that run; with the sample before, which is replaced. One that has stopped is left out. */
export async function sampleUsages(
  vivarium: Vivarium,
  names: readonly string[],
  before: Map<string, InstanceStats>,
): Promise<Usage[]> {
  const usages = await Promise.all(
    (await running(vivarium, names)).map(async (vm) => {
      try {
        const now = await vm.stats();
        const usage: Usage = { info: vm.info, now, before: before.get(vm.id) };
        before.set(vm.id, now);
        return [usage];
      } catch (error) {
        // It stopped between the listing and the question.
        if (isVivError(error, 'not_found', 'invalid_state', 'agent_unreachable')) return [];
        throw error;
      }
    }),
  );
  return usages.flat();
}
