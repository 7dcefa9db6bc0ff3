import { vivariumContract, vivariumRooms, vivariumVolumes } from '@vivarium/client/contract';
import { openHouse } from './testing/house.ts';

vivariumContract('the SDK over the daemon', async () => {
  const house = await openHouse();
  return { viv: house.viv, end: () => house[Symbol.asyncDispose]() };
});

vivariumContract('the engine', async () => {
  const house = await openHouse();
  return { viv: house.engine, end: () => house[Symbol.asyncDispose]() };
});

vivariumRooms(
  'the SDK over the daemon',
  async () => {
    const house = await openHouse();
    return { viv: house.viv, end: () => house[Symbol.asyncDispose]() };
  },
  { disks: false },
);

vivariumRooms(
  'the engine',
  async () => {
    const house = await openHouse();
    return { viv: house.engine, end: () => house[Symbol.asyncDispose]() };
  },
  { disks: false },
);

vivariumVolumes('the SDK over the daemon', async () => {
  const house = await openHouse();
  return { viv: house.viv, end: () => house[Symbol.asyncDispose]() };
});

vivariumVolumes('the engine', async () => {
  const house = await openHouse();
  return { viv: house.engine, end: () => house[Symbol.asyncDispose]() };
});
