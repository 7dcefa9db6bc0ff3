import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exec, isVivError } from '@vivarium/model';
import { collect, connectedGuest, execSpec } from './connected-guest.ts';

test('a command prints on both streams and exits with its code', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['sh', '-c', 'echo out; echo err >&2; exit 7']));
  assert.ok(exec.pid > 0);
  assert.deepEqual(await collect(exec), { stdout: 'out\n', stderr: 'err\n' });
  assert.deepEqual(await exec.exit, { code: 7 });
  assert.deepEqual(exec.delivered, { stdout: 4n, stderr: 4n });
  await exec.close();
  assert.deepEqual(await setting.guest.sessions(), []);
});

test('a missing command is an error, not an exit', async () => {
  await using setting = await connectedGuest();
  await assert.rejects(setting.guest.exec(execSpec(['no-such'])), (error) =>
    isVivError(error, 'command_not_found'),
  );
  await assert.rejects(setting.guest.exec(execSpec(['true'], { user: 'stranger' })), (error) =>
    isVivError(error, 'user_not_found'),
  );
});

test('stdin reaches the command until its end', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['cat'], { stdin: true }));
  await exec.write(Buffer.from('hello '));
  await exec.write(Buffer.from('world'));
  await exec.end();
  assert.equal((await collect(exec)).stdout, 'hello world');
  assert.deepEqual(await exec.exit, { code: 0 });
  await assert.rejects(exec.write(Buffer.from('late')), (error) => isVivError(error, 'guest_error'));
});

test('a command without stdin reads end of file at once', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['cat']));
  assert.equal((await collect(exec)).stdout, '');
});

test('megabytes of stdin and output arrive in order, whoever is slow', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['cat'], { stdin: true }));
  const sent = Buffer.alloc(3_000_000);
  for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE(i, i);
  const writing = exec.write(sent).then(() => exec.end());
  const chunks: Uint8Array[] = [];
  for await (const { data } of exec.output) {
    chunks.push(data);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writing;
  assert.ok(sent.equals(Buffer.concat(chunks)));
});

test('writing waits while the command does not read, and other calls go on', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['sleep', 'infinity'], { stdin: true }));
  let accepted = false;
  const writing = exec.write(Buffer.alloc(1_000_000)).then(() => {
    accepted = true;
  });
  for (let n = 0; n < 20; n += 1) await setting.guest.ping();
  assert.equal(accepted, false);
  assert.equal(exec.stdinAccepted, 0n);
  await exec.close();
  await assert.rejects(writing, (error) => isVivError(error, 'cancelled'));
});

test('output that is not read stops the command, not the channel', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['yes']));
  const other = await setting.guest.exec(execSpec(['echo', 'still here']));
  assert.equal((await collect(other)).stdout, 'still here\n');
  let read = 0;
  for await (const { data } of exec.output) {
    read += data.length;
    if (read > 5_000_000) break;
  }
  await exec.close();
});

test('signals reach the command, and an exit by signal names it', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['sleep', '1000']));
  await exec.signal('SIGINT');
  assert.deepEqual(await exec.exit, { code: 130, signal: 'SIGINT' });
  await assert.rejects(exec.signal('SIGNONE'), (error) => isVivError(error, 'invalid_request'));
});

test('a terminal is resized', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['cat'], { stdin: true, tty: { rows: 24, cols: 80 } }));
  await exec.resize({ rows: 50, cols: 100 });
  assert.deepEqual(setting.simulated.system.session(exec.execId).size, { rows: 50, cols: 100 });
  await exec.end();
  assert.deepEqual(await collect(exec), { stdout: '', stderr: '' });
  assert.deepEqual(await exec.exit, { code: 0 });
});

test('closing kills the command, ends its output, and rejects its exit', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['sleep', '1000']));
  const session = setting.simulated.system.session(exec.execId);
  const output = collect(exec);
  await exec.close();
  assert.deepEqual(await output, { stdout: '', stderr: '' });
  await assert.rejects(exec.exit, (error) => isVivError(error, 'cancelled'));
  assert.equal(session.exit?.signal, 'SIGKILL');
  await exec.close();
});

test('a close that the guest refuses is told while the command may still run, and not when it has ended', async () => {
  await using setting = await connectedGuest();
  const running = await setting.guest.exec(execSpec(['sleep', '1000']));
  const ended = await setting.guest.exec(execSpec(['true']));
  await ended.exit;
  setting.simulated.faults.errors.set('exec.close', { code: 'guest_error', message: 'no' });
  await assert.rejects(running.close(), (error) => isVivError(error, 'guest_error'));
  await ended.close();
});

test('a signal that fires during the start leaves no command behind', async () => {
  await using setting = await connectedGuest();
  const abort = new AbortController();
  const starting = setting.guest.exec(execSpec(['sleep', '1000']), abort.signal);
  abort.abort();
  await assert.rejects(starting, (error) => isVivError(error, 'cancelled'));
  await setting.guest.ping();
  assert.equal(setting.simulated.system.sessions.size, 0);
});

test('a signal that fires after the start does nothing', async () => {
  await using setting = await connectedGuest();
  const abort = new AbortController();
  const exec = await setting.guest.exec(execSpec(['cat'], { stdin: true }), abort.signal);
  abort.abort();
  await exec.end();
  assert.deepEqual(await exec.exit, { code: 0 });
});

test('an Exec over the connection collects, and its signal kills the command', async () => {
  await using setting = await connectedGuest();
  const argv = ['sh', '-c', 'echo hi; exit 3'];
  const result = await new Exec(argv, {}, () => setting.guest.exec(execSpec(argv)));
  assert.equal(result.stdout, 'hi\n');
  assert.equal(result.exitCode, 3);
  const abort = new AbortController();
  const slept = new Exec(['sleep', '1000'], { signal: abort.signal }, () =>
    setting.guest.exec(execSpec(['sleep', '1000'])),
  );
  const rejected = assert.rejects(slept.then());
  await slept.id;
  abort.abort();
  await rejected;
  await setting.guest.ping();
  assert.equal(setting.simulated.system.sessions.size, 0);
});

test('a request that does not fit a frame is refused before it is sent', async () => {
  await using setting = await connectedGuest();
  const spec = execSpec(['true'], { env: { HUGE: 'x'.repeat(70_000) } });
  await assert.rejects(setting.guest.exec(spec), (error) => isVivError(error, 'invalid_request'));
  await setting.guest.ping();
});

test('the output of a session has one reader', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['true']));
  await collect(exec);
  await assert.rejects(collect(exec), (error) => isVivError(error, 'invalid_request'));
});
