import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** What one run of `node --test` came to; written to the file that VIV_TEST_COUNTS names. */
export interface TestCounts {
  passed: number;
  failed: number;
  skipped: number;
}

type Outcome = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>;

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

function reasonOf(error: unknown): string {
  // node:test wraps what a test threw; the wrapper's own stack says nothing.
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return typeof cause === 'string' ? cause : inspect(cause, { depth: 4 });
}

/** Whole lines, moved to the right. */
const indent = (text: string): string => `${text.trimEnd().replaceAll(/^/gm, '    ')}\n`;

/** Tallies the tests of one file, and collects what there is to show of it. */
class FileTally {
  passed = 0;
  failed = 0;
  skipped = 0;
  #milliseconds = 0;
  #failures = '';
  #printed = '';
  readonly #path: string[] = [];

  /** The names of the suites and tests around a test, and its own. Outcomes come children first, starts parents first. */
  started(nesting: number, name: string): void {
    this.#path.length = nesting;
    this.#path.push(name);
  }

  printed(text: string): void {
    this.#printed += text;
  }

  ended({ type, data }: Outcome): void {
    const { error } = data.details as { error?: { failureType?: string } };
    // A parent that fails only because a child did has nothing of its own to say; a hook of a suite has.
    const own = type === 'test:fail' && error?.failureType !== 'subtestsFailed';
    if (data.nesting === 0) this.#milliseconds += data.details.duration_ms;
    if (own) {
      const name = [...this.#path.slice(0, data.nesting), data.name].join(' › ');
      this.#failures += `  ✗ ${name}\n${indent(reasonOf(error))}`;
      this.failed += 1;
    } else if (data.details.type !== 'suite' && type === 'test:pass') {
      if (data.skip !== undefined || data.todo !== undefined) this.skipped += 1;
      else this.passed += 1;
    }
  }

  summary(file: string): string {
    const parts = [`${this.passed} passed`];
    if (this.failed > 0) parts.push(`${this.failed} failed`);
    if (this.skipped > 0) parts.push(`${this.skipped} skipped`);
    const head = `${this.failed > 0 ? '✗' : '✓'} ${file}  ${parts.join(', ')}  ${seconds(this.#milliseconds)}\n`;
    return head + this.#failures + (this.failed > 0 && this.#printed ? indent(this.#printed) : '');
  }
}

/**
 * One line a test file, failures in full beneath it. The events of a file come together and end with its summary; the file an
 * event names is where the test was written, which for a shared suite is another one.
 */
export default async function* reporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts: TestCounts = { passed: 0, failed: 0, skipped: 0 };
  let tally = new FileTally();
  const finish = (file: string): string => {
    const text = tally.summary(path.relative(process.cwd(), file));
    counts.passed += tally.passed;
    counts.failed += tally.failed;
    counts.skipped += tally.skipped;
    tally = new FileTally();
    return text;
  };
  for await (const { type, data } of source) {
    if (type === 'test:start') tally.started(data.nesting, data.name);
    if (type === 'test:stdout' || type === 'test:stderr') tally.printed(data.message);
    if (type === 'test:pass' || type === 'test:fail') {
      tally.ended({ type, data } as Outcome);
      // A file that could not be loaded, or ran out of time, fails as a test named like itself and has no summary.
      const isFile = data.nesting === 0 && data.file !== undefined && path.resolve(data.name) === data.file;
      if (isFile && type === 'test:fail') yield finish(data.file ?? data.name);
    }
    if (type === 'test:summary' && data.file !== undefined) yield finish(data.file);
  }
  if (process.env.VIV_TEST_COUNTS) writeFileSync(process.env.VIV_TEST_COUNTS, JSON.stringify(counts));
}
