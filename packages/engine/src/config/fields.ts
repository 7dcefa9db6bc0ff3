import { choice, count, duration, type Kind, number, rate, size } from './kinds.ts';

/** One thing that can be configured. */
export interface Field<T> extends Kind<T> {
  /** Where nothing is said, and no preset says something else. */
  readonly otherwise: T;
  /** For docs/configuration.md: full sentences. */
  readonly meaning: string;
}

const MiB = 2 ** 20;
const GiB = 2 ** 30;

const factor = number({
  least: 0,
  most: 1000,
  form: 'a number from 0 to 1000',
});
const share = number({ least: 0, most: 1, form: 'a number from 0 to 1' });

const field = <T>(kind: Kind<T>, otherwise: NoInfer<T>, meaning: string): Field<T> => ({
  ...kind,
  otherwise,
  meaning,
});

/** Everything `config.json` may say, by its path in there. docs/configuration.md is printed from it. */
export const fields = {
  'resources.preset': field(
    choice('vivarium', 'hypeman'),
    'vivarium',
    'What the other fields of `resources` are where they are not said.',
  ),
  'resources.cpu.oversubscription': field(
    factor,
    0,
    'vCPUs that may run for each CPU of this host. 0: as many as are asked for; they share what there is.',
  ),
  'resources.memory.judge': field(
    choice('use', 'size'),
    'use',
    '`use`: a VM may start where the memory that is really free will do for what it is expected to use. `size`: where its size fits ' +
      'into the memory of the host, whoever uses how much of it.',
  ),
  'resources.memory.oversubscription': field(
    factor,
    1,
    'With `size`: how much memory may be given out for each byte of this host. 0: any.',
  ),
  'resources.memory.reserve': field(size, 256 * MiB, 'With `use`: memory that VMs leave to the host.'),
  'resources.memory.expectedBase': field(
    size,
    64 * MiB,
    'With `use`: what any VM is expected to use. A VM that uses less is still expected to.',
  ),
  'resources.memory.expectedShare': field(
    share,
    0.25,
    'With `use`: and the part of its memory that it is expected to use beside that.',
  ),
  'resources.disk.oversubscription': field(
    factor,
    0,
    'Bytes of root disks that may be promised for each byte of the file system of the data directory. They are sparse. 0: any.',
  ),
  'resources.network.oversubscription': field(
    factor,
    0,
    'How much of `resources.network.capacity` limits of VMs may add up to. 0: any.',
  ),
  'resources.network.capacity': field(rate, 125_000_000, 'What this host’s network carries, each way.'),
  'resources.diskIo.oversubscription': field(
    factor,
    0,
    'How much of `resources.diskIo.capacity` limits of VMs may add up to. 0: any.',
  ),
  'resources.diskIo.capacity': field(rate, GiB, 'What this host’s disks carry.'),
  'resources.automaticLimits': field(
    choice('off', 'by-cpu'),
    'off',
    'What a VM’s rates (disk, network) are where none are asked for. `by-cpu`: its part of the capacity, in proportion to its vCPUs.',
  ),
  'resources.perInstance.cpus': field(count, 0, 'vCPUs a VM may have at most. 0: what the driver can do.'),
  'resources.perInstance.memory': field(size, 0, 'Memory a VM may have at most. 0: that of the host.'),
  'resources.perInstance.disk': field(size, 0, 'The largest root disk. 0: 16TB.'),
  'vmm.zygote': field(
    choice('on', 'off'),
    'on',
    'Whether VMMs are forks of one that stands ready (docs/zygote.md), which makes them start faster and share memory, and gives them all one layout of it.',
  ),
  'standby.idleTimeout': field(
    duration,
    300_000,
    'After how long without use a VM with `auto_standby` is suspended, where its policy does not say.',
  ),
  'standby.wakeTimeout': field(
    duration,
    60_000,
    'How long a connection to a published port of a suspended VM is held until the VM is back. Then it is closed.',
  ),
} as const satisfies Record<string, Field<never> | Field<number> | Field<string>>;

export type FieldName = keyof typeof fields;

/** Every field with its value. */
export type Config = { readonly [Name in FieldName]: (typeof fields)[Name]['otherwise'] };

/** What each preset says; `vivarium` is what the fields say themselves. */
export const presets: Readonly<Record<Config['resources.preset'], Partial<Config>>> = {
  vivarium: {},
  hypeman: {
    'resources.cpu.oversubscription': 4,
    'resources.memory.judge': 'size',
    'resources.memory.oversubscription': 1,
    'resources.disk.oversubscription': 1,
    'resources.network.oversubscription': 2,
    'resources.diskIo.oversubscription': 2,
    'resources.automaticLimits': 'by-cpu',
    'resources.perInstance.cpus': 16,
    'resources.perInstance.memory': 32 * GiB,
    'resources.perInstance.disk': 100 * GiB,
  },
};
