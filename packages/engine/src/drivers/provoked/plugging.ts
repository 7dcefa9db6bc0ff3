import assert from 'node:assert/strict';
import { withCode } from '../conformance/bench.ts';
import { isVolumePlugger, type MachineSpec, type VolumeDisk } from '../driver.ts';
import type { EffectAt } from '../simulated/faults.ts';
import { type Call, order } from './ordering.ts';
import type { Provocation, Provocations } from './provocation.ts';
import type { Stage } from './stage.ts';

const serial = 'volume';

const plug =
  (disk: VolumeDisk): Call =>
  async (machine) => {
    assert(isVolumePlugger(machine));
    await machine.plugVolume(disk);
  };

const unplug: Call = async (machine) => {
  assert(isVolumePlugger(machine));
  await machine.unplugVolume(serial);
};

const volume = async (stage: Stage): Promise<VolumeDisk> => ({
  ...(await stage.real.volume()),
  serial,
  unit: 1,
});

const withVolume = async (stage: Stage): Promise<Partial<MachineSpec>> => ({ disks: [await volume(stage)] });

/** Its file is not there. */
async function plugIsRefused(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  const disk = await volume(stage);
  await assert.rejects(plug({ ...disk, path: `${disk.path}.gone` })(machine), withCode('vmm_failed'));
  await plug(disk)(machine);
}

/** Somebody else has said that the disk is still needed: it is what another one stands on. */
async function unplugIsRefused(stage: Stage): Promise<void> {
  const machine = await stage.launch(await withVolume(stage));
  const job = await stage.monitor(machine);
  await job.execute('blockdev-add', {
    'node-name': 'filter',
    driver: 'copy-on-read',
    file: `disk-${serial}`,
  });
  await assert.rejects(unplug(machine), withCode('vmm_failed'));
  await job.execute('blockdev-del', { 'node-name': 'filter' });
  await unplug(machine);
}

/** Each with a disk of its own, which is made once there is a stage. */
const plugging = (effect: Exclude<EffectAt<'plug-volume'>, 'error'>): Provocation => {
  return async (stage) => {
    const found = order({ call: plug(await volume(stage)) }, plugIsRefused)[effect];
    if (typeof found !== 'string') await found(stage);
  };
};

export const pluggingFaults: Provocations<'plug-volume' | 'unplug-volume'> = {
  'plug-volume': {
    error: plugIsRefused,
    hang: plugging('hang'),
    crash: plugging('crash'),
    delay: plugging('delay'),
  },
  'unplug-volume': order({ call: unplug, needs: withVolume }, unplugIsRefused),
};
