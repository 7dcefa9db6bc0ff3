import { randomBytes } from 'node:crypto';
import { openEngine } from '@vivarium/engine';
import { type Figure, type Measured, ms, rate } from '../figure.ts';
import { rawPort, received, until } from '../floor/port.ts';
import { median, timed } from '../stats.ts';

const image = 'docker.io/library/busybox:latest';
const pings = 1000;
const execs = 100;
const bytes = 64 * 2 ** 20;
const copies = 5;

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
  const put: number[] = [];
  const get: number[] = [];
  const during: number[] = [];
  for (let n = 0; n < copies; n++) {
    put.push(await timed(() => vm.files.writeFile('/srv/bulk', data)));
    get.push(await timed(() => drain(vm.files.getArchive('/srv/bulk'))));
  }
  const alone: number[] = [];
  for (let n = 0; n < 20; n++) alone.push(await timed(() => vm.exec(['true'])));
  let copying = true;
  const copy = vm.files.writeFile('/srv/bulk2', Buffer.concat([data, data, data, data])).finally(() => {
    copying = false;
  });
  while (copying) during.push(await timed(() => vm.exec(['true'])));
  await copy;
  const floorIn = await rawSink(data);
  const floorOut = await rawSource();
  const [mineIn, mineOut] = [median(put), median(get)];
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

async function rawSink(data: Buffer): Promise<number> {
  await using raw = await rawPort('sink', bytes);
  const times: number[] = [];
  for (let n = 0; n < copies; n++) {
    times.push(
      await timed(() => {
        const written = until(raw.socket, (text) => text.includes('done'));
        raw.socket.write(data);
        return written;
      }),
    );
  }
  return median(times);
}

async function rawSource(): Promise<number> {
  await using raw = await rawPort('source', bytes);
  const times: number[] = [];
  for (let n = 0; n < copies; n++) {
    times.push(
      await timed(() => {
        const all = received(raw.socket, bytes);
        raw.socket.write('go\n');
        return all;
      }),
    );
  }
  return median(times);
}
