import type { ResourceStatus } from '@vivarium/model';
import type { Config } from '../config/index.ts';
import type { Demand } from './demand.ts';
import type { HostGauge } from './gauge.ts';

/** Something of the host that is given out to VMs. */
export interface Share {
  capacity: number;
  /** How many times it may be given out. 0: as often as it is asked for. */
  factor: number;
  source: ResourceStatus['source'];
}

/** Where what is given out is the sum over the VMs that have a VMM. */
export interface SummedShare extends Share {
  /** What one of them has of it. */
  of(demand: Demand): number;
}

export type Shares = Record<'cpu' | 'memory' | 'diskIo' | 'network', SummedShare>;

export function sharesOf(config: Config, gauge: HostGauge): Shares {
  const bySize = config['resources.memory.judge'] === 'size';
  return {
    cpu: {
      of: ({ cpus }) => cpus,
      capacity: gauge.cpus,
      factor: config['resources.cpu.oversubscription'],
      source: 'detected',
    },
    memory: {
      of: ({ memoryBytes }) => memoryBytes,
      capacity: gauge.memoryBytes,
      factor: bySize ? config['resources.memory.oversubscription'] : 0,
      source: 'detected',
    },
    diskIo: {
      of: ({ disk }) => disk,
      capacity: config['resources.diskIo.capacity'],
      factor: config['resources.diskIo.oversubscription'],
      source: 'configured',
    },
    network: {
      of: ({ download, upload }) => Math.max(download, upload),
      capacity: config['resources.network.capacity'],
      factor: config['resources.network.oversubscription'],
      source: 'configured',
    },
  };
}

export const given = ({ of }: SummedShare, demands: readonly Demand[]): number =>
  demands.reduce((sum, demand) => sum + of(demand), 0);
