import { vivariumVolumes } from '@vivarium/client/contract';
import { RealDaemon } from './real-daemon.ts';

vivariumVolumes('the SDK over vivd with real VMs', async () => {
  const daemon = await RealDaemon.start();
  return { viv: daemon.viv, end: () => daemon[Symbol.asyncDispose]() };
});
