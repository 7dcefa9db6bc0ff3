import { type Measured, ms } from '../../figure.ts';
import { median, timed } from '../../stats.ts';
import { argv, type Ground, image, startToOutput } from './ground.ts';

/** A cold boot takes seconds. */
const mostColdRounds = 5;

/**
 * Starts from an image's template, and from what was suspended; each beside a raw clone that goes through the same steps: it is told
 * who it is. What one takes that is told nothing stands beside it.
 */
export async function starts(ground: Ground): Promise<Measured[]> {
  const { engine, template, rounds, margin } = ground;
  const times = { ours: [], bare: [], named: [], cold: [], kernel: [], resume: [] } as Record<
    string,
    number[]
  >;
  const add = (name: string, value: number) => times[name]?.push(value);
  await using sleeper = await engine.run(image, { cmd: ['sleep', '1000000'] });
  // Once each, uncounted.
  await startToOutput(ground, 'image-template');
  await template.toOutput(argv, { named: true });
  for (let round = 0; round < rounds; round++) {
    add('bare', await template.toOutput(argv, { named: false }));
    add('ours', await startToOutput(ground, 'image-template'));
    add('named', await template.toOutput(argv, { named: true }));
    await sleeper.suspend();
    add(
      'resume',
      await timed(async () => {
        await sleeper.start();
        await sleeper.exec(['uname', '-a']).orThrow();
      }),
    );
    if (round >= mostColdRounds) continue;
    add('cold', await startToOutput(ground, 'cold'));
    add('kernel', await startToOutput(ground, 'template'));
  }
  const of = (name: string) => median(times[name] ?? []);
  const floors = `${ms(of('named'))} (raw clone that is told who it is; ${ms(of('bare'))} where it is not)`;
  ground.starts.set('cold boot', times.cold ?? []);
  ground.starts.set("kernel's template", times.kernel ?? []);
  ground.starts.set("image's template", times.ours ?? []);
  ground.starts.set('resume', times.resume ?? []);
  return [
    {
      what: `Start from an image's template to the first output, ${rounds} interleaved pairs`,
      ours: ms(of('ours')),
      floor: floors,
      promise: `at most ${1.25 * margin}x the floor`,
      kept: of('ours') <= 1.25 * margin * of('named'),
    },
    {
      what: 'The same, beside a cold boot in the same run',
      ours: ms(of('ours')),
      floor: `${ms(of('cold'))} (cold boot)`,
      promise: margin === 1 ? 'at most an eighth' : `at most ${margin} eighths`,
      kept: of('ours') <= (margin * of('cold')) / 8,
    },
    {
      what: `Resume of a suspended instance to the first output of an exec, ${rounds} interleaved`,
      ours: ms(of('resume')),
      floor: floors,
      promise: `at most ${1.25 * margin}x the floor`,
      kept: of('resume') <= 1.25 * margin * of('named'),
    },
  ];
}
