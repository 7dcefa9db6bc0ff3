import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openEngine } from '@vivarium/engine';
import { loadAssets } from '../../packages/engine/src/host/assets.ts';
import { createImageStore } from '../../packages/engine/src/images/index.ts';
import { type Figure, ms } from '../figure.ts';
import { rawBootToOutput } from '../floor/boot.ts';
import { interleaved, median } from '../stats.ts';

const rounds = Number(process.env.BENCH_ROUNDS ?? 20);
const image = 'docker.io/library/busybox:latest';
const argv = ['uname', '-a'];
const allowedMs = 150;

/** From a call of the engine, images and directories warm, to the first byte of the image's command. */
export const coldStart: Figure = {
  name: 'cold-start',
  async run() {
    const home = await mkdtemp(path.join(tmpdir(), 'viv-bench-'));
    try {
      await using engine = await openEngine({ home: path.join(home, 'ours') });
      const images = await createImageStore({
        dir: path.join(home, 'images'),
        builtin: (await loadAssets()).images,
      });
      await images.recover();
      const { digest } = await images.ensure(image, 'missing');
      const layers = await images.disk(digest);
      const ours = async () => {
        const began = performance.now();
        await using vm = await engine.create({ image, cmd: argv, attach: true });
        await vm.start({ cold: true });
        const session = await vm.attach();
        for await (const _ of session.output) return performance.now() - began;
        throw new Error('The command printed nothing');
      };
      const floor = () => rawBootToOutput(layers, argv);
      // Once each, uncounted: the image is converted, the accelerator proved, the page cache filled.
      await floor();
      await ours();
      const measured = await interleaved(rounds, ours, floor);
      const [mine, theirs] = [median(measured.ours), median(measured.floor)];
      return [
        {
          what: `Cold start to first output, ${rounds} interleaved pairs`,
          ours: ms(mine),
          floor: `${ms(theirs)} (raw QEMU)`,
          promise: `at most ${allowedMs} ms over the floor`,
          kept: mine - theirs <= allowedMs,
        },
      ];
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  },
};
