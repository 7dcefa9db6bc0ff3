import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Checklist } from './checklist.ts';
import { SetupError } from './command.ts';

interface Fixture {
  checklist: Checklist;
  log: string;
  printed(): string;
}

async function fixture(t: TestContext, terminal: boolean): Promise<Fixture> {
  const dir = await mkdtemp(path.join(tmpdir(), 'checklist-'));
  t.after(() => rm(dir, { recursive: true }));
  const out = Object.assign(new PassThrough(), { isTTY: terminal, columns: 40 });
  let printed = '';
  out.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const log = path.join(dir, 'log');
  const checklist = new Checklist(log, out as unknown as NodeJS.WriteStream, { TERM: 'xterm' });
  return { checklist, log, printed: () => printed };
}

test('without a terminal there is one line per finished step, and no control sequence', async (t) => {
  const { checklist, printed } = await fixture(t, false);
  checklist.say('hello');
  assert.equal(await checklist.step('First', async () => 7), 7);
  await checklist.step('Second', async (step) => step.note('a note'));
  await checklist.close();
  assert.match(printed(), /^hello\n {2}✓ First {2}\d+\.\d s\n {2}✓ Second \(a note\) {2}\d+\.\d s\n$/);
});

test('on a terminal the list is drawn over itself and no line is wider than the terminal', async (t) => {
  const { checklist, printed } = await fixture(t, true);
  await Promise.all([
    checklist.step('First', async (step) => step.note('a note '.repeat(20))),
    checklist.step('Second', async () => undefined),
  ]);
  await checklist.close();
  assert.match(printed(), /\x1b\[2F\x1b\[0J {2}✓ First .*\n {2}✓ Second {2}\d\.\d s\n$/);
  for (const line of printed()
    .replaceAll(/\x1b\[[0-9?]*[A-Za-z]/g, '')
    .split('\n'))
    assert(line.length < 40, line);
});

test('a failed step is named with its reason, the end of its log, its hint and where the whole log is', async (t) => {
  const { checklist, log } = await fixture(t, false);
  const failing = checklist.step('Kernel', async (step) => {
    for (let line = 1; line <= 50; line += 1) step.log(`line ${line}\n`);
    throw new SetupError('broken', { hint: 'mend it', exitStatus: 69 });
  });
  await assert.rejects(failing, (error: unknown) => {
    assert(error instanceof SetupError);
    assert.match(error.message, /^Kernel: broken\n/);
    assert.match(error.message, /line 50/);
    assert.doesNotMatch(error.message, /line 30\n/);
    assert(error.message.includes(log));
    assert.deepEqual([error.hint, error.exitStatus], ['mend it', 69]);
    return true;
  });
  await checklist.close();
  assert.match(await readFile(log, 'utf8'), /^line 1\n.*== Kernel: failed/s);
});
