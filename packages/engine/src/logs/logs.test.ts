import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { CriParser } from './cri.ts';
import { caughtUp, followLines } from './follow.ts';
import { LineSplitter } from './lines.ts';

describe('lines', () => {
  it('are the same however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '\n', '\r') }), { maxLength: 20 }),
        (chunks) => {
          const whole = chunks.join('');
          const splitter = new LineSplitter();
          const lines = [
            ...chunks.flatMap((chunk) => [...splitter.push(Buffer.from(chunk))]),
            ...splitter.end(),
          ];
          const expected = whole.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
          if (whole.split('\n').at(-1) === '') expected.pop();
          assert.deepEqual(lines, expected);
        },
      ),
    );
  });

  it('without an end cost a bounded amount of memory', () => {
    const splitter = new LineSplitter();
    const pieces = Array.from({ length: 100 }, () => [...splitter.push(Buffer.alloc(10_000, 'x'))]).flat();
    assert.ok(pieces.length >= 14);
    assert.ok(pieces.every((piece) => piece.length <= 64 * 1024));
  });
});

describe('the log port', () => {
  it('gives lines with their times and streams, and joins pieces', () => {
    const parser = new CriParser();
    assert.deepEqual(parser.parse('2026-01-02T03:04:05.678Z stdout F hello world'), {
      at: '2026-01-02T03:04:05.678Z',
      stream: 'stdout',
      text: 'hello world',
    });
    assert.equal(parser.parse('2026-01-02T03:04:05Z stderr P one '), undefined);
    assert.equal(parser.parse('2026-01-02T03:04:05Z stdout F between')?.text, 'between');
    assert.equal(parser.parse('2026-01-02T03:04:06Z stderr F two')?.text, 'one two');
    assert.equal(parser.parse('2026-01-02T03:04:06Z exit F {"code":0}'), undefined);
    assert.deepEqual(parser.parse('garbage from the guest'), {
      stream: 'stdout',
      text: 'garbage from the guest',
    });
    assert.equal(parser.parse('2026-01-02T03:04:06Z stdout F')?.text, '');
  });
});

describe('following a log', () => {
  let dir: string;
  let file: string;
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'viv-log-'));
    file = path.join(dir, 'app.log');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('gives what was there, then what is appended, over a rotation, and ends with the writer', async () => {
    writeFileSync(`${file}.1`, 'older\n');
    writeFileSync(file, 'old\n');
    const ended = Promise.withResolvers<void>();
    const seen: string[] = [];
    const script: Record<string, () => void> = {
      old: () => undefined,
      new: () => {
        appendFileSync(file, 'last of this file\n');
        renameSync(file, `${file}.1`);
        writeFileSync(file, 'first of the next\n');
      },
      'first of the next': () => {
        appendFileSync(file, 'no line end');
        ended.resolve();
      },
    };
    for await (const line of followLines(file, { follow: true, ended: ended.promise })) {
      if (line === caughtUp) {
        appendFileSync(file, 'new\n');
        continue;
      }
      seen.push(line);
      script[line]?.();
    }
    assert.deepEqual(seen, ['older', 'old', 'new', 'last of this file', 'first of the next', 'no line end']);
  });

  it('misses no line and gives none twice, however often the log is rotated behind a slow reader', async () => {
    const keep = 3;
    const rotate = () => {
      for (let n = keep - 1; n >= 1; n--)
        if (existsSync(`${file}.${n}`)) renameSync(`${file}.${n}`, `${file}.${n + 1}`);
      renameSync(file, `${file}.1`);
      writeFileSync(file, '');
    };
    let written = 0;
    const write = (lines: number) => {
      for (let n = 0; n < lines; n++) appendFileSync(file, `line ${written++}\n`);
    };
    writeFileSync(file, '');
    write(10);
    rotate();
    write(10);
    const ended = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    for await (const line of followLines(file, { follow: true, ended: ended.promise })) {
      if (line === caughtUp) {
        write(5);
        continue;
      }
      seen.push(line);
      // As many rotations as files are kept, while the reader is at the end of the file that becomes the oldest.
      if (seen.length === written && written < 500) {
        for (let n = 0; n < keep; n++) {
          write(10);
          rotate();
        }
        write(10);
      } else if (seen.length === written) ended.resolve();
    }
    assert.deepEqual(
      seen,
      Array.from({ length: written }, (_, n) => `line ${n}`),
    );
  });

  it('misses no line and gives none twice where it is rotated while the reader looks what there is', async () => {
    const [rotations, keep] = [400, 20];
    let written = 0;
    let read = 0;
    let over = false;
    const writing = (async () => {
      for (let n = 0; n < rotations; n += 1) {
        appendFileSync(file, `${written++}\n${written++}\n`);
        // Never past what is kept for the reader, and in another step of it each time.
        while (!over && written - read > 2 * (keep - 3))
          await new Promise((resolve) => setImmediate(resolve));
        for (let turn = n % 97; turn >= 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
        for (let age = keep; age > 0; age -= 1) {
          const from = age === 1 ? file : `${file}.${age - 1}`;
          if (existsSync(from)) renameSync(from, `${file}.${age}`);
        }
        writeFileSync(file, '');
      }
    })();
    try {
      for await (const line of followLines(file, { follow: true, ended: writing })) {
        if (line === caughtUp) continue;
        assert.equal(line, String(read));
        read += 1;
      }
    } finally {
      over = true;
      await writing;
    }
    assert.equal(read, 2 * rotations);
  });

  it('goes on with what is left where files were rotated away before they were read', async () => {
    writeFileSync(file, 'first\n');
    const ended = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    for await (const line of followLines(file, { follow: true, ended: ended.promise })) {
      seen.push(line);
      if (line === caughtUp) {
        // Nothing is kept but the log itself.
        rmSync(file);
        writeFileSync(file, 'lost\n');
        rmSync(file);
        writeFileSync(file, 'last\n');
      }
      if (line === 'last') ended.resolve();
    }
    assert.deepEqual(seen, ['first', caughtUp, 'last']);
  });

  it('ends at once when it is not asked to follow, and when its signal fires', async () => {
    writeFileSync(file, 'one\n');
    const ended = Promise.withResolvers<void>();
    const once = await Array.fromAsync(followLines(file, { follow: false, ended: ended.promise }));
    assert.deepEqual(once, ['one']);
    const abort = new AbortController();
    const seen: unknown[] = [];
    for await (const line of followLines(file, {
      follow: true,
      ended: ended.promise,
      signal: abort.signal,
    })) {
      seen.push(line);
      if (line === caughtUp) abort.abort();
    }
    assert.deepEqual(seen, ['one', caughtUp]);
  });
});

it('a log that is followed by nobody any more is not read', { timeout: 5000 }, async () => {
  const home = mkdtempSync(path.join(tmpdir(), 'viv-follow-'));
  const options = { follow: true, ended: new Promise(() => undefined), signal: AbortSignal.abort() };
  for await (const _ of followLines(path.join(home, 'none.log'), options))
    assert.fail('there is nothing to tell');
  rmSync(home, { recursive: true });
});
