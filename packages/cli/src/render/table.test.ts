import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Column, renderTable, truncate } from './table.ts';

const columns: Column<string[]>[] = [
  { title: 'A', value: ([a = '']) => a },
  { title: 'WIDE', value: ([, b = '']) => b, shrinks: true },
  { title: 'N', value: ([, , c = '']) => c, align: 'right' },
];

test('columns are as wide as their widest cell', () => {
  const rows = [
    ['x', 'hello', '1'],
    ['long-name', 'y', '22'],
  ];
  assert.equal(
    renderTable(columns, rows),
    'A          WIDE    N\nx          hello   1\nlong-name  y      22\n',
  );
});

test('a narrow terminal takes width from the columns that may shrink', () => {
  const text = renderTable(columns, [['x', 'a very long cell indeed', '1']], { width: 20 });
  assert.equal(text, 'A  WIDE            N\nx  a very long c…  1\n');
});

test('no line is wider than the terminal, whatever the cells hold', () => {
  const cell = fc.string({ maxLength: 40 });
  fc.assert(
    fc.property(
      fc.array(fc.array(cell, { minLength: 3, maxLength: 3 })),
      fc.integer({ min: 10, max: 100 }),
      (rows, width) => {
        for (const line of renderTable(columns, rows, { width }).split('\n'))
          assert.ok([...line].length <= width, line);
      },
    ),
  );
});

test('a cell cannot send control characters to the terminal', () => {
  const text = renderTable(columns, [['\x1b[2J', 'a\nb', '\u202e']]);
  assert.ok(!text.includes('\x1b') && !text.includes('\u202e'));
  assert.equal(text.split('\n').length, 3);
  assert.ok(text.includes('a\\nb'));
});

test('cutting counts characters, not code units', () => {
  assert.equal(truncate('🐟🐟🐟', 2), '🐟…');
  assert.equal(truncate('abc', 3), 'abc');
});
