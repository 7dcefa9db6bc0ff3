import { randomBytes } from 'node:crypto';
import { openEngine } from '@vivarium/engine';
import { type Figure, type Measured, ms, rate } from '../figure.ts';
import { rawPort, received, until } from '../floor/port.ts';
import { interleaved, median, timed } from '../stats.ts';

const image = 'docker.io/library/busybox:latest';
const pings = 1000;
const execs = 100;
const bytes = 64 * 2 ** 20;
const copies = 9;

type Engine = Awaited<ReturnType<typeof openEngine>>;
type Vm = Awaited<ReturnType<Engine['get']>>;

/** Everything that is asked of a warm guest through the engine, each beside what a raw guest needs for the same. */
export const agent: Figure = {
  name: 'agent',
  async run() {
    await using engine = await openEngine();
    await using vm = await engine.run(image, { memory: '512MB' });
    return [await noOp(vm), await warmExec(vm), ...(await bulk(vm))];
  },
};

async function noOp(vm: Vm): Promise<Measured> {
  const ours: number[] = [];
  for (let n = 0; n < pings; n++) ours.push(await timed(() => vm.ping()));
  await using raw = await rawPort('echo');
  const floor: number[] = [];
  for (let n = 0; n < pings; n++) {
    floor.push(
      await timed(() => {
        const answer = until(raw.socket, (text) => text.length >= 1);
        raw.socket.write('x');
        return answer;
      }),
    );
  }
  const [mine, theirs] = [median(ours), median(floor)];
  return {
    what: `Agent no-op round trip, p50 of ${pings}`,
    ours: ms(mine),
    floor: `${ms(theirs)} (raw byte echo)`,
    promise: 'under 0.5 ms and under 3x the floor',
    kept: mine < 0.5 && mine < 3 * theirs,
  };
}

async function warmExec(vm: Vm): Promise<Measured> {
  const loop = async (count: number) =>
    timed(() => vm.exec(['sh', '-c', `i=0; while [ $i -lt ${count} ]; do /bin/true; i=$((i+1)); done`]));
  await vm.exec(['true']);
  await loop(execs);
  const inside = ((await loop(execs)) - (await loop(0))) / execs;
  const ours: number[] = [];
  for (let n = 0; n < execs; n++) ours.push(await timed(() => vm.exec(['true'])));
  const mine = median(ours);
  return {
    what: `Warm exec of true through the engine, p50 of ${execs}`,
    ours: ms(mine),
    floor: `${ms(inside)} (fork, exec and wait inside the guest)`,
    promise: 'at most 1.5x the floor + 2 ms',
    kept: mine <= 1.5 * inside + 2,
  };
}

async function bulk(vm: Vm): Promise<Measured[]> {
  const data = randomBytes(bytes);
  const put = await copyIn(vm, data);
  // The floor reads nothing from a disk, and writes nothing to it meanwhile.
  await vm.exec(['sync']);
  const get = await copyOut(vm);
  const during: number[] = [];
  const alone: number[] = [];
  for (let n = 0; n < 20; n++) alone.push(await timed(() => vm.exec(['true'])));
  let copying = true;
  const copy = vm.files.writeFile('/srv/bulk2', Buffer.concat([data, data, data, data])).finally(() => {
    copying = false;
  });
  while (copying) during.push(await timed(() => vm.exec(['true'])));
  await copy;
  const [mineIn, mineOut] = [median(put.ours), median(get.ours)];
  const [floorIn, floorOut] = [median(put.floor), median(get.floor)];
  const [quiet, loaded] = [median(alone), median(during)];
  return [
    {
      what: `Bulk copy in, ${bytes / 2 ** 20} MiB, median of ${copies}`,
      ours: rate(bytes, mineIn),
      floor: `${rate(bytes, floorIn)} (raw port to the same file system)`,
      promise: 'at least 60 % of the floor',
      kept: floorIn / mineIn >= 0.6,
    },
    {
      what: `Bulk copy out, ${bytes / 2 ** 20} MiB, median of ${copies}`,
      ours: rate(bytes, mineOut),
      floor: `${rate(bytes, floorOut)} (raw port)`,
      promise: 'at least 60 % of the floor',
      kept: floorOut / mineOut >= 0.6,
    },
    {
      what: `Warm exec during a bulk copy, p50 of ${during.length}`,
      ours: ms(loaded),
      floor: `${ms(quiet)} (without the copy)`,
      promise: 'at most 2x',
      kept: loaded <= 2 * quiet,
    },
  ];
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of chunks);
}

async function copyIn(vm: Vm, data: Buffer) {
  await using raw = await rawPort('sink', bytes);
  return await interleaved(
    copies,
    () => timed(() => vm.files.writeFile('/srv/bulk', data)),
    () =>
      timed(() => {
        const written = until(raw.socket, (text) => text.includes('done'));
        raw.socket.write(data);
        return written;
      }),
  );
}

async function copyOut(vm: Vm) {
  await using raw = await rawPort('source', bytes);
  return await interleaved(
    copies,
    () => timed(() => drain(vm.files.getArchive('/srv/bulk'))),
    () =>
      timed(() => {
        const all = received(raw.socket, bytes);
        raw.socket.write('go\n');
        return all;
      }),
  );
}
