import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MachineStatus } from '../driver.ts';
import type { QmpClient, QmpEvent } from './qmp.ts';
import { StatusWatch, statusFrom } from './status.ts';

describe('the status of a machine', () => {
  test('is read from the run states of QEMU, also from ones it has yet to invent', () => {
    const of = (status: string, running = false) => statusFrom({ status, running });
    assert.equal(of('prelaunch'), 'created');
    assert.equal(of('io-error'), 'paused');
    assert.equal(of('guest-panicked'), 'panicked');
    assert.equal(of('dreaming', true), 'running');
    assert.equal(of('dreaming'), 'paused');
    assert.equal(statusFrom(undefined), 'paused');
  });

  test('is told once per change, tells a guest that is off from one that is paused, and ends with exited', () => {
    let emit: (event: QmpEvent) => void = () => assert.fail('not followed');
    const watch = new StatusWatch('created');
    watch.follow({ onEvent: (listener: typeof emit) => (emit = listener) } as unknown as QmpClient);
    const told: MachineStatus[] = [];
    watch.subscribe((status) => told.push(status));
    for (const name of [
      'RESUME',
      'RESUME',
      'STOP',
      'RESUME',
      'SHUTDOWN',
      'STOP',
      'RESET',
      'RESUME',
      'STOP',
      'NIC_RX',
    ]) {
      emit({ name, data: {} });
    }
    watch.ended();
    emit({ name: 'RESUME', data: {} });
    assert.deepEqual(told, ['running', 'paused', 'running', 'shutdown', 'running', 'paused', 'exited']);
  });
});
