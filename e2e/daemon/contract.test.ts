import { vivariumContract } from '../../packages/client/src/contract/index.ts';
import { RealDaemon } from './real-daemon.ts';

vivariumContract('the SDK over vivd, with real VMs,', async () => {
  const daemon = await RealDaemon.start();
  return { viv: daemon.viv, end: () => daemon[Symbol.asyncDispose]() };
});
