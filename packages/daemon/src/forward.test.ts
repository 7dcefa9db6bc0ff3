import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { isVivError, type VivError, type Vm } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';

let house: TestHouse;
let vm: Vm;
before(async () => {
  house = await openHouse();
  vm = await house.viv.run('busybox', { name: 'forwarded' });
});
after(() => house[Symbol.asyncDispose]());

/** What comes back until the other end closes. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (data) => {
    answer += data;
  });
  socket.end(text);
  await once(socket, 'close');
  return answer;
}

test('a forwarded port carries many connections at a time, each half to its end', async () => {
  await using forward = await vm.forward(80);
  assert.deepEqual([forward.hostAddress, forward.guestPort], ['127.0.0.1', 80]);
  const texts = Array.from({ length: 8 }, (_, n) => `${n} `.repeat(20_000));
  const answers = await Promise.all(texts.map((text) => exchange(forward.hostPort, text)));
  assert.deepEqual(answers, texts);
});

test('a port that is taken is told, and one that was forwarded is free once that has ended', async () => {
  const forward = await vm.forward(80);
  const again = { hostPort: forward.hostPort };
  await assert.rejects(vm.forward(80, again), (error) => isVivError(error, 'port_in_use'));
  const idle = connect(forward.hostPort, '127.0.0.1');
  await once(idle, 'connect');
  await forward.close();
  await once(idle, 'close');
  const ending = new AbortController();
  await vm.forward(80, { ...again, signal: ending.signal });
  ending.abort();
  await assert.rejects(exchange(forward.hostPort, ''));
});

test('whoever comes while the VM is down is sent away, and the reason is told', async () => {
  const refused: VivError[] = [];
  await using forward = await vm.forward(80, { onRefused: (error) => refused.push(error) });
  await vm.stop({ force: true });
  const socket = connect(forward.hostPort, '127.0.0.1').on('error', () => undefined);
  await once(socket, 'close');
  assert.deepEqual(
    refused.map(({ code }) => code),
    ['invalid_state'],
  );
});
