import type { Config } from '../config/index.ts';
import type { InstanceSpec } from '../store/record.ts';
import type { HostGauge } from './gauge.ts';

/** Rates of one instance, bytes a second; 0: none. */
export interface Rates {
  disk: number;
  download: number;
  upload: number;
}

/** What an instance with a VMM is counted with. */
export interface Demand extends Rates {
  cpus: number;
  memoryBytes: number;
  /** What it is expected to use of its memory, and its VMM of the host's. */
  expectedBytes: number;
}

export function demandOf(spec: InstanceSpec, config: Config, gauge: Pick<HostGauge, 'cpus'>): Demand {
  const { cpus, memoryBytes } = spec;
  const expected =
    config['resources.memory.expectedBase'] + memoryBytes * config['resources.memory.expectedShare'];
  return {
    cpus,
    memoryBytes,
    expectedBytes: Math.ceil(Math.min(expected, memoryBytes + config['resources.memory.expectedBase'])),
    ...ratesOf(spec, config, gauge),
  };
}

/** As asked for; where nothing is and limits are automatic, its part of what there is. */
function ratesOf(
  { cpus, limits }: Pick<InstanceSpec, 'cpus' | 'limits'>,
  config: Config,
  gauge: Pick<HostGauge, 'cpus'>,
): Rates {
  const automatic = (kind: 'diskIo' | 'network'): number => {
    if (config['resources.automaticLimits'] === 'off') return 0;
    const most = config[`resources.${kind}.capacity`] * (config[`resources.${kind}.oversubscription`] || 1);
    const vcpus = gauge.cpus * (config['resources.cpu.oversubscription'] || 1);
    // Rounded down: all of them together fit, whatever their number.
    return Math.floor((most * Math.min(cpus, vcpus)) / vcpus);
  };
  return {
    disk: limits?.diskBytesPerSecond || automatic('diskIo'),
    download: limits?.networkDownload || automatic('network'),
    upload: limits?.networkUpload || automatic('network'),
  };
}
