import { vivariumRooms } from '@vivarium/client/contract';
import { FakeVivarium } from './fake-vivarium.ts';

/* What the command line is tested against keeps the contract of what stands behind it, so far as it is there at all. */
vivariumRooms('the Vivarium in memory', async () => {
  const viv = new FakeVivarium({
    echo: async ({ argv, out }) => {
      out(`${argv.slice(1).join(' ')}\n`);
      return 0;
    },
    hostname: async ({ vm, out }) => {
      out(`${vm}\n`);
      return 0;
    },
  });
  return { viv, end: async () => undefined };
});
