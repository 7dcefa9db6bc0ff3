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

/** Tallies the tests of one file. */
class FileTally {
  passed = 0;
  failed = 0;
  skipped = 0;
  milliseconds = 0;
  readonly #path: string[] = [];

  /** The names of the suites and tests around a test, and its own. Outcomes come children first, starts parents first. */
  started(nesting: number, name: string): void {
    this.#path.length = nesting;
    this.#path.push(name);
  }

  /** Answers the text of a failure. */
  ended({ type, data }: Outcome): string {
    // A parent that fails only because a child did has nothing of its own to say.
    const fromChildren = type === 'test:fail' && inspect(data.details.error).includes('subtestsFailed');
    if (data.nesting === 0) this.milliseconds += data.details.duration_ms;
    if (data.details.type === 'suite' || fromChildren) return '';
    if (data.skip !== undefined || data.todo !== undefined) this.skipped += 1;
    else if (type === 'test:pass') this.passed += 1;
    else this.failed += 1;
    if (type === 'test:pass') return '';
    const parents = this.#path.slice(0, data.nesting);
    return `  ✗ ${[...parents, data.name].join(' › ')}\n${indent(reasonOf(data.details.error))}`;
  }

  summary(file: string): string {
    const parts = [`${this.passed} passed`];
    if (this.failed > 0) parts.push(`${this.failed} failed`);
    if (this.skipped > 0) parts.push(`${this.skipped} skipped`);
    return `${this.failed > 0 ? '✗' : '✓'} ${file}  ${parts.join(', ')}  ${seconds(this.milliseconds)}\n`;
  }
}

/** One line a test file, failures in full beneath it. */
export default async function* reporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files = new Map<string, FileTally>();
  const failures = new Map<string, string>();
  const output = new Map<string, string>();
  const tallyOf = (file: string): FileTally => {
    const tally = files.get(file) ?? new FileTally();
    files.set(file, tally);
    return tally;
  };
  const nameOf = (data: { file?: string; name?: string }): string =>
    path.relative(process.cwd(), data.file ?? data.name ?? 'unknown');
  const append = (map: Map<string, string>, file: string, text: string): void => {
    map.set(file, (map.get(file) ?? '') + text);
  };
  for await (const event of source) {
    if (event.type === 'test:start') tallyOf(nameOf(event.data)).started(event.data.nesting, event.data.name);
    if (event.type === 'test:stdout' || event.type === 'test:stderr') {
      append(output, nameOf(event.data), event.data.message);
    }
    if (event.type === 'test:pass' || event.type === 'test:fail') {
      const file = nameOf(event.data);
      const text = tallyOf(file).ended(event);
      if (text) append(failures, file, text);
    }
    if (event.type === 'test:summary' && event.data.file !== undefined) {
      const file = nameOf(event.data);
      const printed = failures.has(file) ? (output.get(file) ?? '') : '';
      yield tallyOf(file).summary(file) + (failures.get(file) ?? '') + (printed ? indent(printed) : '');
      failures.delete(file);
    }
  }
  // A file that could not even be loaded has no summary of its own.
  for (const [file, text] of failures) {
    const printed = output.get(file);
    yield tallyOf(file).summary(file) + text + (printed ? indent(printed) : '');
  }
  const counts: TestCounts = { passed: 0, failed: 0, skipped: 0 };
  for (const tally of files.values()) {
    counts.passed += tally.passed;
    counts.failed += tally.failed;
    counts.skipped += tally.skipped;
  }
  if (process.env.VIV_TEST_COUNTS) writeFileSync(process.env.VIV_TEST_COUNTS, JSON.stringify(counts));
}
