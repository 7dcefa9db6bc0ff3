import { after, before, describe } from 'node:test';
import type { Vivarium } from '@vivarium/model';
import { execContract } from './exec.ts';
import { fileContract } from './files.ts';
import { imageContract } from './images.ts';
import { instanceContract } from './instances.ts';
import { observeContract } from './observe.ts';

/** A Vivarium to be tested, and what ends it. It starts without instances and has an image called busybox. */
export interface Subject {
  viv: Vivarium;
  end(): Promise<void>;
}

/** How a group of the contract gets at its subject, which exists only while its tests run. */
export type Given = () => Vivarium;

/**
 * What every Vivarium does, whichever door it is: the in-process engine, the SDK over the daemon, real VMs or simulated
 * ones. Registers tests with node:test.
 */
export function vivariumContract(name: string, make: () => Promise<Subject>): void {
  describe(`${name} keeps the contract of Vivarium:`, () => {
    let subject: Subject;
    before(async () => {
      subject = await make();
    });
    after(async () => {
      for await (const { id } of subject.viv.all()) await (await subject.viv.get(id)).delete({ force: true });
      await subject.end();
    });
    const given: Given = () => subject.viv;
    instanceContract(given);
    execContract(given);
    fileContract(given);
    observeContract(given);
    imageContract(given);
  });
}
