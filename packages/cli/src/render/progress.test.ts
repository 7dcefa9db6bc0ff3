import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { mock, test } from 'node:test';
import type { Progress } from '@vivarium/model';
import type { Context, Output } from '../context.ts';
import { progressView } from './progress.ts';
import { LayerBoard } from './progress-lines.ts';

const digest = `sha256:${'a1'.repeat(32)}`;
const pull: Progress[] = [
  { stage: 'resolving', reference: 'docker.io/library/app:1' },
  { stage: 'layer', digest, receivedBytes: 512, totalBytes: 1024, done: false },
  { stage: 'layer', digest, receivedBytes: 1024, totalBytes: 1024, done: true },
  { stage: 'layer', digest, receivedBytes: 1024, totalBytes: 1024, done: true },
  { stage: 'converting', digest, done: true },
  { stage: 'image-ready', digest, reference: 'app:1' },
];

function watch(isTTY: boolean): { context: Context; text: () => string } {
  const stderr: Output = Object.assign(new PassThrough(), { isTTY, columns: 60, rows: 24 });
  let text = '';
  stderr.on('data', (data) => {
    text += data;
  });
  const context = {
    stderr,
    env: {},
    errorStyle: (_: string, s: string) => s,
    note: (s: string) => stderr.write(`${s}\n`),
  };
  return { context: context as unknown as Context, text: () => text };
}

test('a log gets one line for the beginning, each layer and the end', () => {
  const { context, text } = watch(false);
  using view = progressView(context);
  pull.forEach(view.onProgress);
  assert.equal(
    text(),
    `pulling docker.io/library/app:1\nlayer a1a1a1a1a1a1 downloaded (1KB)\nimage ${digest} is ready\n`,
  );
});

test('a log says nothing of an image that is there, nor of a start', () => {
  const { context, text } = watch(false);
  using view = progressView(context);
  const stages: Progress[] = [
    { stage: 'resolving', reference: 'busybox' },
    { stage: 'image-ready', digest, reference: 'busybox' },
    { stage: 'booting' },
    { stage: 'running', milliseconds: 5 },
  ];
  stages.forEach(view.onProgress);
  assert.equal(text(), '');
});

test('quiet says nothing at all', () => {
  const { context, text } = watch(true);
  using view = progressView(context, { quiet: true });
  pull.forEach(view.onProgress);
  assert.equal(text(), '');
});

test('a terminal sees the layers with their bytes, and nothing is left of them afterwards', () => {
  mock.timers.enable({ apis: ['setInterval'] });
  try {
    const { context, text } = watch(true);
    const view = progressView(context);
    pull.slice(0, 2).forEach(view.onProgress);
    mock.timers.tick(100);
    assert.match(text(), /downloading layers\n {2}a1a1a1a1a1a1 {2}\[={10} {10}\] 512B \/ 1KB\n$/);
    view[Symbol.dispose]();
    assert.ok(text().endsWith('\x1b[2A\r\x1b[J'), 'the two lines drawn are erased');
  } finally {
    mock.timers.reset();
  }
});

test('of many layers, those under way are shown and the others counted', () => {
  const board = new LayerBoard();
  for (let layer = 0; layer < 60; layer++) {
    board.take({
      stage: 'layer',
      digest: `sha256:${layer}`,
      receivedBytes: 1,
      totalBytes: 2,
      done: layer > 2,
    });
  }
  const lines = board.lines(80, 10);
  assert.equal(lines.length, 4);
  assert.equal(lines.at(-1), '  57 of 60 layers are here');
});
