import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { allStates, isTransient, type State, transition } from '../index.ts';
import {
  incusCodes,
  incusStatus,
  NothingChangedError,
  type Projection,
  project,
  projections,
  refuseUnchanged,
  statesFor,
} from './index.ts';

/** The stable rows of the design's table of projections: cloudeng, hcsshim, podplane, hypeman, Incus. */
const design: Partial<Record<State, string>> = {
  Defined: 'Initial | NotCreated | absent | Stopped | Stopped',
  Stopped: 'Stopped | Terminated | exists | Stopped | Stopped',
  Created: 'Starting | Created | exists | Created | Running',
  Initializing: 'Starting | Created | running | Initializing | Running',
  Running: 'Running | Running | running | Running | Running',
  Paused: 'Running | Running | running | Paused | Frozen',
  Shutdown: 'Stopped | Terminated | exists | Shutdown | Stopped',
  Suspended: 'Suspended | Created | exists | Standby | Stopped',
  Error: 'ErrorUnknown | Invalid | query error | Unknown | Error',
  Unknown: 'ErrorUnknown | Invalid | query error | Unknown | Error',
  Deleted: 'Deleted | Terminated | absent | gone | gone',
};

const all: readonly Projection<string>[] = Object.values(projections);

describe('the projections', () => {
  for (const projection of all) {
    test(`${projection.system} has a word of its own vocabulary for each of the 17 states`, () => {
      assert.deepEqual(Object.keys(projection.words).sort(), [...allStates].sort());
      for (const state of allStates) assert(projection.vocabulary.includes(projection.words[state]), state);
    });
  }

  test('say what the design says', () => {
    for (const state of Object.keys(design) as State[]) {
      assert.equal(all.map((projection) => projection.words[state]).join(' | '), design[state], state);
    }
  });

  test('cloudeng names transients as we do, but Initializing and Restoring are Starting', () => {
    const { words } = projections.cloudeng;
    for (const state of allStates.filter(isTransient)) {
      const shown = state === 'Initializing' || state === 'Restoring' ? 'Starting' : state;
      assert.equal(words[state], shown);
    }
  });

  test('hcsshim, podplane and hypeman never show a transient of ours as a word of their own', () => {
    for (const { words } of [projections.hcsshim, projections.podplane, projections.hypeman]) {
      for (const state of allStates.filter(isTransient)) {
        const resting: string[] = allStates.filter((one) => !isTransient(one)).map((one) => words[one]);
        assert(resting.includes(words[state]) || words[state] === words.Initializing, state);
      }
    }
  });

  test('hypeman shows a start so that it can be stopped, a stop as Running, a restore as Standby', () => {
    const shown = (['Starting', 'Stopping', 'Suspending', 'Restoring', 'Cloning', 'Deleting'] as const).map(
      (state) => project(projections.hypeman, state),
    );
    assert.deepEqual(shown, ['Initializing', 'Running', 'Paused', 'Standby', 'Stopped', 'Stopped']);
  });

  test('podplane takes whatever may have a process for running, and the rest for what it has on disk', () => {
    const shown = (['Starting', 'Stopping', 'Suspending', 'Restoring', 'Cloning', 'Deleting'] as const).map(
      (state) => project(projections.podplane, state),
    );
    assert.deepEqual(shown, ['running', 'running', 'running', 'running', 'absent', 'exists']);
  });

  test('hcsshim hides transients behind the word before', () => {
    const shown = (['Cloning', 'Starting', 'Stopping', 'Suspending', 'Restoring', 'Deleting'] as const).map(
      (state) => project(projections.hcsshim, state),
    );
    assert.deepEqual(shown, ['NotCreated', 'Created', 'Running', 'Running', 'Created', 'Terminated']);
  });

  test('Incus shows a start as Stopped until the guest has booted, and a stop as Running until it is over', () => {
    assert.equal(project(projections.incus, 'Starting'), 'Stopped');
    assert.equal(project(projections.incus, 'Restoring'), 'Stopped');
    assert.equal(project(projections.incus, 'Stopping'), 'Running');
    assert.equal(project(projections.incus, 'Suspending'), 'Running');
  });

  test('Incus numbers, readiness and stateful stops', () => {
    assert.deepEqual(incusStatus('Running', { ready: true }), {
      status: 'Ready',
      code: 113,
      stateful: false,
    });
    assert.deepEqual(incusStatus('Initializing', { ready: true }), {
      status: 'Running',
      code: 103,
      stateful: false,
    });
    assert.deepEqual(incusStatus('Suspended'), { status: 'Stopped', code: 102, stateful: true });
    assert.equal(incusStatus('Deleted'), undefined);
    assert.deepEqual(Object.values(incusCodes), [102, 103, 110, 112, 113]);
  });

  test('a word leads back to the states behind it', () => {
    assert.deepEqual(statesFor(projections.cloudeng, 'Starting'), [
      'Created',
      'Starting',
      'Initializing',
      'Restoring',
    ]);
    assert.deepEqual(statesFor(projections.incus, 'Frozen'), ['Paused']);
  });
});

describe('a front door', () => {
  test('that is strict turns "nothing changed" into its own error', () => {
    const unchanged = { changed: false, state: 'Running' } as const;
    assert.throws(() => refuseUnchanged(projections.incus, 'start', unchanged), {
      name: 'NothingChangedError',
      message: 'The instance is already running',
      action: 'start',
      state: 'Running',
    });
    assert.throws(() => refuseUnchanged(projections.podplane, 'stop', unchanged), NothingChangedError);
  });

  test('that is not lets it pass, and so does a strict one where something changed', () => {
    const unchanged = { changed: false, state: 'Running' } as const;
    assert.equal(refuseUnchanged(projections.hypeman, 'start', unchanged), unchanged);
    const changed = { changed: true, state: 'Running' } as const;
    assert.equal(refuseUnchanged(projections.incus, 'start', changed), changed);
  });

  test('refuses only what the table lets change nothing somewhere', () => {
    for (const projection of all) {
      for (const action of Object.keys(
        projection.refusesUnchanged,
      ) as (keyof typeof projection.refusesUnchanged)[]) {
        assert(
          allStates.some((state) => transition(state, action)?.changed === false),
          `${projection.system} ${action}`,
        );
      }
    }
  });
});
