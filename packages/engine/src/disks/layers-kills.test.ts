import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Content, DiskRoom, holds, slots, strays, write } from './fixtures/disk-room.ts';
import { killedAt } from './fixtures/killed.ts';
import {
  abandonLayer,
  commitLayer,
  dropTop,
  flattenRoot,
  newLayerFor,
  planMerge,
  rootLayers,
  settleLayer,
  shareLayers,
} from './index.ts';

const top = (dir: string) => path.join(dir, 'root.qcow2');
const content = (...bytes: number[]): Content => new Map(bytes.map((byte, slot) => [slot, byte]));

async function addLayer(dir: string): Promise<void> {
  await newLayerFor(dir);
  await commitLayer(dir);
}

/** Slot 0 is 1 in the lowest layer, slot 1 is 2 above it, slot 2 is 3 in the top. */
async function threeLayers(room: DiskRoom, ...names: string[]): Promise<string> {
  const dir = await room.disk(...names);
  for (const slot of [0, 1, 2]) {
    if (slot > 0) await addLayer(dir);
    await write(top(dir), slot, slot + 1);
  }
  return dir;
}

const whole = content(1, 2, 3);
/** What is done to a disk, and what it may hold when that was killed somewhere and then settled. */
const operations: Record<string, { act(dir: string): Promise<unknown>; after: Content[] }> = {
  'a new layer': { act: newLayerFor, after: [whole] },
  'a new layer and its commit': { act: addLayer, after: [whole] },
  'a layer that is abandoned': {
    act: async (dir) => {
      await newLayerFor(dir);
      await abandonLayer(dir);
    },
    after: [whole],
  },
  'a dropped top': { act: dropTop, after: [whole, content(1, 2)] },
  'a merge': { act: (dir) => flattenRoot(dir, { maxLayers: 1 }), after: [whole] },
  'a settling': {
    act: async (dir) => {
      await newLayerFor(dir);
      await settleLayer(dir, undefined);
    },
    after: [whole],
  },
};

describe('a disk is whole after a kill at any call to the file system in', () => {
  for (const [name, { act, after }] of Object.entries(operations)) {
    test(name, async () => {
      await using room = await DiskRoom.open();
      const original = await threeLayers(room, 'instances', 'original');
      let done = false;
      for (let n = 0; !done || n < 10; n++) {
        const dir = await room.copy(original, 'instances', String(n));
        done = await killedAt(n, () => act(dir));
        // The next one may be killed as well, before it is let finish.
        await killedAt(n % 7, () => settleLayer(dir, undefined));
        await settleLayer(dir, undefined);
        await oneOf(dir, after);
        assert.deepEqual(await strays(dir), [], `killed at call ${n}`);
      }
    });
  }

  test('a share, which leaves a whole disk or none', async () => {
    await using room = await DiskRoom.open();
    for (const kind of ['new', 'share'] as const) {
      const dir = await threeLayers(room, kind);
      for (let n = 0, done = false; !done; n++) {
        const to = await room.dir(kind, String(n));
        done = await killedAt(n, () => shareLayers(dir, to, { top: kind }));
        const there = existsSync(top(to));
        const shared = kind === 'new' ? content(1, 2) : whole;
        if (there) await holds(to, shared);
        assert.ok(there || !done);
        await shareLayers(dir, to, { top: kind });
        await holds(to, shared);
        assert.deepEqual(await strays(to), []);
        await settleLayer(dir, undefined);
      }
      await holds(dir, whole);
    }
  });
});

async function oneOf(dir: string, contents: Content[]): Promise<void> {
  const failures: unknown[] = [];
  for (const each of contents) {
    const failure = await holds(dir, each).then(
      () => undefined,
      (error) => error,
    );
    if (failure === undefined) return;
    failures.push(failure);
  }
  throw new AggregateError(failures, 'the disk holds something else');
}

/** What each layer of a disk amounts to, the top last. */
interface Model {
  dir: string;
  stack: Map<number, number>[];
  sealed: boolean;
}

type Step = [kind: number, disk: number, slot: number, byte: number];

const last = (model: Model): Map<number, number> => model.stack.at(-1) ?? new Map();

/** A killed operation leaves the disk before or after it; which one it was is seen by the number of layers. */
const steps: ((model: Model, room: Room, step: Step) => Promise<void>)[] = [
  async (model, _room, [, , slot, byte]) => {
    if (model.sealed) return;
    await write(top(model.dir), slot, byte);
    last(model).set(slot, byte);
  },
  async (model) => {
    await addLayer(model.dir);
    layered(model);
  },
  async (model) => {
    await newLayerFor(model.dir);
    await abandonLayer(model.dir);
  },
  async (model, _room, [, , slot, byte]) => {
    // The VMM goes over, writes, and the daemon is killed; the VMM lives, or not.
    const { next } = await newLayerFor(model.dir);
    await write(next, slot, byte);
    await settleLayer(model.dir, byte % 2 ? next : undefined);
    layered(model);
    last(model).set(slot, byte);
  },
  async (model, _room, [, , slot, byte]) => {
    if (model.sealed) return;
    await newLayerFor(model.dir);
    await write(top(model.dir), slot, byte); // the VMM never went over
    await settleLayer(model.dir, byte % 2 ? top(model.dir) : undefined);
    last(model).set(slot, byte);
    if (byte % 2 === 0) layered(model);
  },
  async (model, room, [, , , byte]) => {
    const kind = byte % 2 ? 'new' : 'share';
    const dir = await room.next();
    await shareLayers(model.dir, dir, { top: kind });
    if (kind === 'share') model.sealed = true;
    const stack = model.stack.map((each) => new Map(each));
    if (kind === 'new' && !model.sealed) stack.pop();
    if (kind === 'new') stack.push(new Map(stack.at(-1)));
    room.models.push({ dir, stack, sealed: kind === 'share' });
  },
  async (model) => {
    await dropTop(model.dir);
    if (!model.sealed) model.stack.pop();
    layered(model);
  },
  async (model) => {
    const plan = await planMerge(model.dir, 2);
    assert.equal(await flattenRoot(model.dir, { maxLayers: 2 }), plan !== undefined);
    if (plan === undefined) return;
    model.stack = [...model.stack.slice(0, plan.kept), last(model)];
    layered(model);
  },
];

function layered(model: Model): void {
  model.stack.push(new Map(last(model)));
  model.sealed = false;
}

interface Room {
  models: Model[];
  next(): Promise<string>;
}

test('disks that share layers hold what was written to each, whatever is done to the others', async () => {
  const step = fc.tuple(
    fc.nat(steps.length - 1),
    fc.nat(100),
    fc.constantFrom(...slots),
    fc.integer({ min: 1, max: 255 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (script) => {
      await using home = await DiskRoom.open();
      const first = { dir: await home.disk('instances', '0'), stack: [new Map()], sealed: false };
      const room: Room = {
        models: [first],
        next: () => home.dir('templates', 'deeper', String(room.models.length)),
      };
      for (const each of script) {
        const model = room.models[each[1] % room.models.length] ?? first;
        await steps[each[0]]?.(model, room, each);
      }
      for (const model of room.models) {
        await holds(model.dir, last(model));
        const expected = model.stack.length;
        assert.equal((await rootLayers(model.dir)).length, expected);
        assert.deepEqual(await strays(model.dir), []);
      }
    }),
    { numRuns: 15 },
  );
});
