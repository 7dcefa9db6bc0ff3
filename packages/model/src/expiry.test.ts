import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivError } from './errors.ts';
import { parseExpiry } from './expiry.ts';

const now = Date.parse('2026-01-31T12:00:00Z');

test('a span counts from now, and its units may come together in any order', () => {
  const ends = {
    '90S': '2026-01-31T12:01:30.000Z',
    '30M': '2026-01-31T12:30:00.000Z',
    '1d 3H': '2026-02-01T15:00:00.000Z',
    '3H1d': '2026-02-01T15:00:00.000Z',
    ' 2w ': '2026-02-14T12:00:00.000Z',
    '1d 1d': '2026-02-02T12:00:00.000Z',
  };
  for (const [text, end] of Object.entries(ends)) assert.equal(parseExpiry(text, now), end, text);
});

test('months and years are the calendar’s, and end with a shorter month', () => {
  assert.equal(parseExpiry('1m', now), '2026-02-28T12:00:00.000Z');
  assert.equal(parseExpiry('2m', now), '2026-03-31T12:00:00.000Z');
  assert.equal(parseExpiry('1y 1m', now), '2027-02-28T12:00:00.000Z');
  assert.equal(parseExpiry('25m', now), '2028-02-29T12:00:00.000Z');
  assert.equal(parseExpiry('1y', Date.parse('2028-02-29T00:00:00Z')), '2029-02-28T00:00:00.000Z');
});

test('a time of RFC 3339 is taken as it is, in UTC', () => {
  assert.equal(parseExpiry('2026-03-01T00:00:00Z', now), '2026-03-01T00:00:00.000Z');
  assert.equal(parseExpiry('2026-03-01t00:00:00.5+02:00', now), '2026-02-28T22:00:00.500Z');
});

test('what is neither, over, at once, or beyond all calendars is refused', () => {
  const bad = [
    '',
    'soon',
    '1',
    '1h',
    '-1d',
    '1.5d',
    '1d,3H',
    '0S',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-03-01',
    '2026-03-01T25:00:00Z',
    '2026-01-31T12:00:00Z',
    '2025-01-01T00:00:00Z',
    '9000y',
    '999999999y',
    '999999999w',
  ];
  for (const text of bad) {
    assert.throws(
      () => parseExpiry(text, now),
      (error) => error instanceof VivError && error.code === 'invalid_request',
      text,
    );
  }
});
