import {
  type AskOptions,
  type HostResources,
  type MemoryStatus,
  type Reclaimed,
  type ReclaimOptions,
  type ResourceAllocation,
  type ResourceStatus,
  type Resources,
  refuseAborted,
} from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { type Admission, occupies } from './admission.ts';
import { reclaimMemory } from './reclaim.ts';

/** What this host has, and what VMs have of it. */
export class EngineResources implements Resources {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async get(options: AskOptions = {}): Promise<HostResources> {
    refuseAborted(options);
    const { admission, instances } = this.#context;
    const all = [...instances.all()].filter(({ gone }) => !gone);
    const sample = await admission.sample();
    const allocations = await Promise.all(all.map((instance) => allocation(admission, instance)));
    const live = all.filter(occupies).map((instance) => admission.demand(instance.record.spec));
    const { config, gauge } = admission;
    const status = (
      capacity: number,
      allocated: number,
      factor: number,
      source: ResourceStatus['source'],
    ): ResourceStatus => {
      const effectiveLimit = capacity * (factor || 1);
      return {
        capacity,
        effectiveLimit,
        allocated,
        available: Math.max(0, effectiveLimit - allocated),
        oversubscription: factor || 1,
        limited: factor !== 0,
        source,
      };
    };
    const sum = (of: (demand: (typeof live)[number]) => number) =>
      live.reduce((total, demand) => total + of(demand), 0);
    const assigned = sum(({ memoryBytes }) => memoryBytes);
    const usedBytes = allocations.reduce((total, { usedBytes = 0 }) => total + usedBytes, 0);
    const bySize = config['resources.memory.judge'] === 'size';
    const memory: MemoryStatus = {
      ...(bySize
        ? status(gauge.memoryBytes, assigned, config['resources.memory.oversubscription'], 'detected')
        : byUse(admission, admission.left(sample))),
      judgedBy: bySize ? 'size' : 'use',
      assignedBytes: assigned,
      promisedBytes: bySize ? 0 : admission.promised(sample),
      ...(allocations.some((one) => one.usedBytes !== undefined) ? { usedBytes } : {}),
    };
    const disk = all.reduce((total, { record }) => total + record.spec.diskBytes, 0);
    return {
      cpu: status(
        gauge.cpus,
        sum(({ cpus }) => cpus),
        config['resources.cpu.oversubscription'],
        'detected',
      ),
      memory,
      disk: status(
        await admission.diskCapacity(),
        disk,
        config['resources.disk.oversubscription'],
        'detected',
      ),
      network: status(
        config['resources.network.capacity'],
        sum(({ download, upload }) => Math.max(download, upload)),
        config['resources.network.oversubscription'],
        'configured',
      ),
      diskIo: status(
        config['resources.diskIo.capacity'],
        sum((demand) => demand.disk),
        config['resources.diskIo.oversubscription'],
        'configured',
      ),
      allocations,
    };
  }

  reclaimMemory(options: ReclaimOptions): Promise<Reclaimed> {
    return reclaimMemory(this.#context, options);
  }
}

/** What is not left is given out: to VMs, to what is promised them, and to whatever else runs here. */
function byUse({ config, gauge }: Admission, left: number): ResourceStatus {
  const effectiveLimit = Math.max(0, gauge.memoryBytes - config['resources.memory.reserve']);
  const available = Math.min(effectiveLimit, Math.max(0, left));
  return {
    capacity: gauge.memoryBytes,
    effectiveLimit,
    allocated: effectiveLimit - available,
    available,
    oversubscription: 1,
    limited: true,
    source: 'detected',
  };
}

async function allocation(admission: Admission, instance: Instance): Promise<ResourceAllocation> {
  const { record, machine } = instance;
  const live = occupies(instance);
  const demand = admission.demand(record.spec);
  const pid = machine?.record.vmm.pid;
  const use = pid === undefined ? undefined : await admission.gauge.use(pid);
  return {
    instanceId: record.id,
    instanceName: record.name,
    cpus: live ? demand.cpus : 0,
    memoryBytes: live ? demand.memoryBytes : 0,
    ...(use === undefined ? {} : { usedBytes: use.pssBytes }),
    diskBytes: record.spec.diskBytes,
    diskBytesPerSecond: live ? demand.disk : 0,
    networkDownload: live ? demand.download : 0,
    networkUpload: live ? demand.upload : 0,
  };
}
