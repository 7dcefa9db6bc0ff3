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
import { given, type Share } from './shares.ts';

/** What this host has, and what VMs have of it. */
export class EngineResources implements Resources {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async get(options: AskOptions = {}): Promise<HostResources> {
    refuseAborted(options);
    const { admission, cgroups, instances } = this.#context;
    const all = [...instances.all()].filter(({ gone }) => !gone);
    const sample = await admission.sample();
    const allocations = await Promise.all(all.map((instance) => allocation(admission, instance)));
    const live = all.filter(occupies).map((instance) => admission.demand(instance.record.spec));
    const { config, shares } = admission;
    const usedBytes = allocations.reduce((total, { usedBytes = 0 }) => total + usedBytes, 0);
    const assignedBytes = given(shares.memory, live);
    const bySize = config['resources.memory.judge'] === 'size';
    const memory: MemoryStatus = {
      ...(bySize ? status(shares.memory, assignedBytes) : byUse(admission, admission.left(sample))),
      judgedBy: bySize ? 'size' : 'use',
      assignedBytes,
      promisedBytes: bySize ? 0 : admission.promised(sample),
      ...(allocations.some((one) => one.usedBytes !== undefined) ? { usedBytes } : {}),
    };
    const disk: Share = {
      capacity: await admission.diskCapacity(),
      factor: config['resources.disk.oversubscription'],
      source: 'detected',
    };
    return {
      cpu: status(shares.cpu, given(shares.cpu, live)),
      memory,
      disk: status(
        disk,
        all.reduce((total, { record }) => total + record.spec.diskBytes, 0),
      ),
      network: status(shares.network, given(shares.network, live)),
      diskIo: status(shares.diskIo, given(shares.diskIo, live)),
      limitKeepers: (await cgroups?.survey()) ?? [],
      allocations,
    };
  }

  reclaimMemory(options: ReclaimOptions): Promise<Reclaimed> {
    return reclaimMemory(this.#context, options);
  }
}

function status({ capacity, factor, source }: Share, allocated: number): ResourceStatus {
  const oversubscription = factor || 1;
  const effectiveLimit = capacity * oversubscription;
  return {
    capacity,
    effectiveLimit,
    allocated,
    available: Math.max(0, effectiveLimit - allocated),
    oversubscription,
    limited: factor !== 0,
    source,
  };
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
