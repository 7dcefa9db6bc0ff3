import { after, afterEach, before, describe } from 'node:test';
import { adoptingTests } from './adopting.ts';
import { Bench, type ConformanceContext } from './bench.ts';
import { channelTests } from './channels.ts';
import { expectingTests } from './expecting.ts';
import { launchingTests } from './launching.ts';
import { runningTests } from './running.ts';
import { savingTests } from './saving.ts';
import { volumeTests } from './volumes.ts';

export type { ConformanceContext } from './bench.ts';

/**
 * Registers the tests that every driver has to pass. The context is made once, before the first test, and disposed after
 * the last; each test launches machines of its own, which are ended after it.
 */
export function driverConformance(name: string, makeContext: () => Promise<ConformanceContext>): void {
  describe(`the ${name} driver`, () => {
    const bench = new Bench();
    before(() => bench.open(makeContext));
    afterEach(() => bench.reset());
    after(() => bench.close());

    describe('launching', () => launchingTests(bench));
    describe('running', () => runningTests(bench));
    describe('channels', () => channelTests(bench));
    describe('adopting', () => adoptingTests(bench));
    describe('saving', () => savingTests(bench));
    describe('expecting', () => expectingTests(bench));
    describe('volumes', () => volumeTests(bench));
  });
}
