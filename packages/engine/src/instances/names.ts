import { randomInt } from 'node:crypto';
import { VivError } from '@vivarium/model';

const pattern = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

const manners = [
  'brisk',
  'calm',
  'clever',
  'eager',
  'gentle',
  'keen',
  'lively',
  'lucid',
  'merry',
  'mild',
  'nimble',
  'patient',
  'quiet',
  'rapid',
  'shy',
  'sleek',
  'spry',
  'steady',
  'sunny',
  'witty',
];
const animals = [
  'axolotl',
  'beetle',
  'cricket',
  'finch',
  'firefly',
  'frog',
  'gecko',
  'iguana',
  'lizard',
  'mantis',
  'moth',
  'newt',
  'otter',
  'quail',
  'skink',
  'snail',
  'tetra',
  'toad',
  'turtle',
  'wren',
];

/** A name that `taken` doesn't know: `nimble-newt-412`. */
export function inventName(taken: (name: string) => boolean): string {
  for (;;) {
    const name = `${manners[randomInt(manners.length)]}-${animals[randomInt(animals.length)]}-${randomInt(100, 10_000)}`;
    if (!taken(name)) return name;
  }
}

/** @throws VivError `invalid_name`. */
export function checkName(name: string): string {
  if (typeof name === 'string' && name.length <= 63 && pattern.test(name)) return name;
  throw new VivError('invalid_name', `Not a name: ${JSON.stringify(name)}`, {
    hint: 'Use 1 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends.',
  });
}
