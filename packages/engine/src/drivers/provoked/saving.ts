import type { Provocations } from './provocation.ts';

const later = 'how to provoke it is not written yet';
const all = { error: later, hang: later, crash: later, delay: later };

type Point = 'save.memory' | 'save.devices' | 'save.update' | 'restore.load' | 'add-layer' | 'top-layer';

export const saving: Provocations<Point> = {
  'save.memory': all,
  'save.devices': all,
  'save.update': all,
  'restore.load': all,
  'add-layer': all,
  'top-layer': all,
};
