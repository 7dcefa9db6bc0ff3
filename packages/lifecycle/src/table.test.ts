import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type Action,
  advance,
  allActions,
  allObservations,
  allowed,
  allStates,
  hasVmm,
  isStable,
  isStep,
  isTransient,
  mayHaveVmm,
  type Observation,
  type Position,
  refusal,
  rowFor,
  type State,
  type Step,
  stableStates,
  table,
  transientStates,
  transition,
  validActions,
} from './index.ts';

const rowsFrom = (state: State) => table.filter((row) => row.from === state);

/** The table of the design, a second time and in words: what every legal action leads to, `!` where it needs force. */
const design: Record<State, string> = {
  Defined: 'clone: Cloning Stopped; delete: Deleted',
  Stopped:
    'prepare: Starting Created; start: Starting Initializing Running; stop: =; delete: Deleting Deleted',
  Created: 'start: Starting Initializing Running; stop: Stopping Stopped; delete!: Stopping Deleting Deleted',
  Running:
    'start: =; stop: Stopping Stopped; shutdown: Shutdown; pause: Paused; suspend: Suspending Suspended; delete!: Stopping Deleting Deleted',
  Paused:
    'stop: Stopping Stopped; shutdown: Shutdown; resume: Running; suspend: Suspending Suspended; delete!: Stopping Deleting Deleted',
  Shutdown:
    'start: Starting Initializing Running; stop: Stopping Stopped; delete!: Stopping Deleting Deleted',
  Suspended: 'start: Restoring Running|Paused; suspend: =; discard: Stopped; delete: Deleting Deleted',
  Deleted: 'clone: Cloning Stopped',
  Error: 'stop!: Stopping Stopped; delete: Deleting Deleted',
  Unknown: 'delete!: Deleting Deleted',
  Cloning: '',
  Starting: 'stop: Stopping Stopped; delete!: Stopping Deleting Deleted',
  Initializing: 'stop: Stopping Stopped; delete!: Stopping Deleting Deleted',
  Stopping: 'delete!: Stopping Deleting Deleted',
  Suspending: 'delete!: Stopping Deleting Deleted',
  Restoring: 'stop: Suspended; delete!: Stopping Deleting Deleted',
  Deleting: '',
};

describe('the table', () => {
  test('says of every state and action what the design says', () => {
    for (const state of allStates) {
      const said = allActions.flatMap((action) => {
        const row = rowFor(state, action);
        if (row === undefined) return [];
        const way = row.changed ? [...row.through, row.to.join('|')].join(' ') : '=';
        return [`${action}${row.force === 'required' ? '!' : ''}: ${way}`];
      });
      assert.deepEqual(said.sort(), design[state].split('; ').filter(Boolean).sort(), state);
    }
  });

  test('has 17 states, each either stable or transient', () => {
    assert.equal(allStates.length, 17);
    for (const state of allStates) assert.notEqual(isStable(state), isTransient(state), state);
    assert.equal(stableStates.size, 10);
    assert.equal(transientStates.size, 7);
  });

  test('has one row for a pair at most, and every row leads somewhere', () => {
    const pairs = table.map((row) => `${row.from} ${row.on}`);
    assert.equal(new Set(pairs).size, pairs.length);
    for (const row of table) {
      assert(row.to.length > 0, `${row.from} ${row.on}`);
      assert.equal(row.to.length > 1, row.decidedBy !== undefined, `${row.from} ${row.on}`);
    }
  });

  test('passes only through transient states, and ends actions only in stable ones', () => {
    for (const row of table) {
      for (const state of row.through) assert(isTransient(state), `${row.from} ${row.on}`);
      if (row.kind === 'action') for (const state of row.to) assert(isStable(state), `${row.from} ${row.on}`);
    }
  });

  test('an unchanged row stays where it is, a changed one never does', () => {
    for (const row of table) {
      if (row.changed) assert(!row.to.includes(row.from), `${row.from} ${row.on}`);
      else assert.deepEqual(row.to, [row.from]);
    }
  });

  test('the observations lead along every way that an action announces, and to its ends', () => {
    for (const row of table) {
      if (row.kind !== 'action') continue;
      row.through.forEach((state, index) => {
        const next = row.through[index + 1];
        const goals = next === undefined ? row.to : [next];
        const reached = rowsFrom(state).flatMap((one) => (one.on === 'undone' ? [] : one.to));
        for (const goal of goals)
          assert(reached.includes(goal), `${row.from} ${row.on}: ${state} -> ${goal}`);
      });
    }
  });

  test('what an action says of its failure is what its transient states do when it is undone', () => {
    for (const row of table) {
      if (row.kind !== 'action' || !row.changed) continue;
      for (const state of row.through) {
        if (row.onFailure.length === 0) continue;
        for (const end of row.onFailure)
          assert(rowFor(state, 'undone')?.to.includes(end), `${row.from} ${row.on} in ${state}`);
      }
    }
  });

  test('every transient state has an exit on success, on failure, and when its VMM ends', () => {
    for (const state of transientStates) {
      const on = (names: Observation[]) =>
        rowsFrom(state).filter((row) => names.includes(row.on as Observation));
      assert(
        on(['cloned', 'prepared', 'booted', 'ready', 'saved', 'gone']).some((row) => row.changed),
        `${state}: success`,
      );
      assert.deepEqual(rowFor(state, 'failed')?.to, ['Error'], `${state}: failure`);
      if (hasVmm(state)) assert(rowFor(state, 'exited')?.changed, `${state}: exit`);
    }
  });

  test('every state with a VMM can lose it, can be lost sight of, and can be deleted by force', () => {
    for (const state of allStates.filter(hasVmm)) {
      assert(transition(state, 'exited'), `${state}: exit`);
      assert.equal(transition(state, 'probeFailed')?.to, 'Unknown');
      assert.equal(transition(state, 'delete', { force: true })?.to, 'Deleted');
      assert.equal(allowed(state, 'delete'), false, `${state}: only by force`);
    }
  });

  test('only a forced stop and a delete lead out of Error', () => {
    assert.deepEqual(validActions('Error', { force: true }), ['stop', 'delete']);
    assert.deepEqual(
      allObservations.filter((seen) => transition('Error', seen)?.changed),
      [],
    );
  });
});

describe('transition', () => {
  test('agrees with allowed and validActions for every state, action and force', () => {
    for (const state of allStates) {
      for (const force of [true, false]) {
        for (const action of allActions) {
          const may = transition(state, action, { force }) !== undefined;
          assert.equal(allowed(state, action, { force }), may);
          assert.equal(validActions(state, { force }).includes(action), may);
          assert.equal(refusal(state, action, { force }) === undefined, may);
        }
      }
    }
  });

  test('brings saved memory back as it was saved', () => {
    assert.equal(transition('Suspended', 'start')?.to, 'Running');
    assert.equal(transition('Suspended', 'start', { saved: 'Paused' })?.to, 'Paused');
    assert.equal(transition('Restoring', 'ready', { saved: 'Paused' })?.to, 'Paused');
  });

  test('takes a failed start back to where it began, and nowhere else', () => {
    assert.equal(transition('Initializing', 'undone', { before: 'Created' })?.to, 'Created');
    assert.equal(transition('Initializing', 'undone', { before: 'Running' }), undefined);
  });

  test('believes a probe only when it says what it saw, and only what can be seen', () => {
    assert.equal(transition('Unknown', 'probed'), undefined);
    assert.equal(transition('Unknown', 'probed', { observed: 'Deleted' }), undefined);
    assert.equal(transition('Unknown', 'probed', { observed: 'Paused' })?.to, 'Paused');
  });

  test('knows what is a single step', () => {
    assert(
      isStep('Stopped', 'Starting') && isStep('Starting', 'Initializing') && isStep('Running', 'Stopped'),
    );
    assert(
      !isStep('Stopped', 'Running') && !isStep('Running', 'Initializing') && !isStep('Stopped', 'Stopped'),
    );
  });

  test('refuses with what would be possible instead', () => {
    assert.equal(
      refusal('Suspended', 'stop'),
      'stop is not possible while the state is Suspended (possible: start, suspend, discard, delete)',
    );
    assert.equal(refusal('Running', 'delete'), 'delete needs force while the state is Running');
    assert.match(refusal('Deleting', 'start') ?? '', /nothing but waiting/);
  });
});

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ action: fc.constantFrom(...allActions), force: fc.boolean() }),
  fc.record({ observation: fc.constantFrom(...allObservations), observed: fc.constantFrom(...allStates) }),
);

describe('any sequence of actions and observations', () => {
  test('goes only where the table leads, and an illegal step changes nothing', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
        let position: Position = { state: 'Defined' };
        for (const step of steps) {
          const on: Action | Observation = 'action' in step ? step.action : step.observation;
          const row = rowFor(position.state, on);
          const next = advance(position, step);
          if (next === undefined) continue;
          assert(row);
          assert(
            [row.from, ...row.to, row.through[0]].includes(next.state),
            `${row.from} ${on} -> ${next.state}`,
          );
          if (!row.changed) assert.equal(next, position);
          position = next;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('remembers in a transient state what it is for and where it began, and forgets it at rest', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
        let position: Position = { state: 'Defined' };
        for (const step of steps) position = advance(position, step) ?? position;
        assert.equal(position.action !== undefined, isTransient(position.state));
        assert.equal(position.before !== undefined, isTransient(position.state));
      }),
    );
  });

  test('can always be brought to Deleted', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
        let position: Position = { state: 'Defined' };
        for (const step of steps) position = advance(position, step) ?? position;
        assert(reachesDeleted(position), `stuck in ${position.state}`);
      }),
    );
  });
});

/** Breadth first over everything that may be done or seen from here. */
function reachesDeleted(start: Position): boolean {
  const seen = new Set<string>();
  const queue: Position[] = [start];
  for (let position = queue.shift(); position !== undefined; position = queue.shift()) {
    if (position.state === 'Deleted') return true;
    const key = JSON.stringify(position);
    if (seen.has(key)) continue;
    seen.add(key);
    const steps: Step[] = [
      ...allActions.map((action) => ({ action, force: true })),
      ...allObservations.map((observation) => ({ observation, observed: 'Stopped' as const })),
    ];
    for (const step of steps) {
      const next = advance(position, step);
      if (next !== undefined) queue.push(next);
    }
  }
  return false;
}

test('a VMM is certain, impossible or uncertain', () => {
  assert.equal(hasVmm('Running'), true);
  assert.equal(mayHaveVmm('Stopped'), false);
  assert.deepEqual(
    allStates.filter((state) => mayHaveVmm(state) && !hasVmm(state)),
    ['Error', 'Unknown'],
  );
});

test('a suspended VM that was paused comes back paused', () => {
  const steps: Step[] = [
    { action: 'suspend' },
    { observation: 'saved' },
    { action: 'start' },
    { observation: 'probeFailed' },
    { observation: 'probed', observed: 'Suspended' },
    { action: 'start' },
    { observation: 'ready' },
  ];
  let position: Position = { state: 'Paused' };
  for (const step of steps) {
    const next = advance(position, step);
    assert(next, JSON.stringify(step));
    position = next;
  }
  assert.deepEqual(position, { state: 'Paused' });
});

test('a delete that comes in the middle of a stop goes on to Deleted', () => {
  let position: Position | undefined = { state: 'Running' };
  const seen: State[] = [];
  const steps: Step[] = [
    { action: 'stop' },
    { action: 'delete', force: true },
    { observation: 'exited' },
    { observation: 'gone' },
  ];
  for (const step of steps) {
    position = position && advance(position, step);
    assert(position);
    seen.push(position.state);
  }
  assert.deepEqual(seen, ['Stopping', 'Stopping', 'Deleting', 'Deleted']);
});

test('a start that fails late goes back to where it began, not to where it was last', () => {
  let position: Position | undefined = { state: 'Created' };
  const steps: Step[] = [{ action: 'start' }, { observation: 'booted' }, { observation: 'undone' }];
  for (const step of steps) position = position && advance(position, step);
  assert.deepEqual(position, { state: 'Created' });
});
