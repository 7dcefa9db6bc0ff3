import { after, before, describe } from 'node:test';
import type { Vivarium } from '@vivarium/model';
import { copiesContract } from './copies.ts';
import { execContract } from './exec.ts';
import { fileContract } from './files.ts';
import { idempotencyContract } from './idempotency.ts';
import { imageContract } from './images.ts';
import { instanceContract } from './instances.ts';
import { observeContract } from './observe.ts';
import { operationContract } from './operations.ts';
import { poolContract } from './pools.ts';
import { limitContract, resourceContract, standbyContract } from './resources.ts';
import { serviceContract } from './service.ts';
import { sessionContract } from './sessions.ts';
import { snapshotContract } from './snapshots.ts';
import { fileStepContract } from './steps.ts';
import { suspendContract } from './suspend.ts';
import { templateContract } from './templates.ts';
import { volumeContract } from './volumes.ts';

/** A Vivarium to be tested, and what ends it. It starts without instances and has an image called busybox. */
export interface Subject {
  viv: Vivarium;
  end(): Promise<void>;
}

/** What a subject is like. */
export interface Traits {
  /** Files outlive the end of a VM. Not those of simulated ones. */
  disks: boolean;
}

/** How a group of the contract gets at its subject, which exists only while its tests run. */
export type Given = () => Vivarium;

/**
 * What every Vivarium does, whichever door it is: the in-process engine, the SDK over the daemon, real VMs or simulated
 * ones. Registers tests with node:test.
 */
export function vivariumContract(name: string, make: () => Promise<Subject>): void {
  contract(`${name} keeps the contract of Vivarium:`, make, [
    instanceContract,
    execContract,
    fileContract,
    fileStepContract,
    sessionContract,
    observeContract,
    imageContract,
    resourceContract,
    limitContract,
    serviceContract,
    idempotencyContract,
  ]);
}

/** What every Vivarium does with saved memory: suspended instances, copies, snapshots, templates, pools. */
export function vivariumRooms(
  name: string,
  make: () => Promise<Subject>,
  traits: Traits = { disks: true },
): void {
  contract(`${name} keeps the contract of saved memory:`, make, [
    (given) => suspendContract(given, traits),
    copiesContract,
    (given) => snapshotContract(given, traits),
    templateContract,
    poolContract,
    standbyContract,
  ]);
}

/** What every Vivarium does that keeps a journal. */
export function vivariumOperations(name: string, make: () => Promise<Subject>): void {
  contract(`${name} keeps the contract of operations:`, make, [operationContract]);
}

/** What every Vivarium does with disks that outlive instances. */
export function vivariumVolumes(name: string, make: () => Promise<Subject>): void {
  contract(`${name} keeps the contract of volumes:`, make, [volumeContract]);
}

function contract(
  title: string,
  make: () => Promise<Subject>,
  groups: readonly ((given: Given) => void)[],
): void {
  describe(title, () => {
    let subject: Subject;
    before(async () => {
      subject = await make();
    });
    after(async () => {
      for await (const { id } of subject.viv.all()) await (await subject.viv.get(id)).delete({ force: true });
      await subject.end();
    });
    const given: Given = () => subject.viv;
    for (const group of groups) group(given);
  });
}
