import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routes, scopes } from '../index.ts';
import { referencePage } from './page.ts';

const page = referencePage('1.2.3');

test('the page has every route and scope, and every link in it leads somewhere', () => {
  const ids = new Set([...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
  for (const { name } of routes) assert.ok(ids.has(name), name);
  for (const scope of Object.keys(scopes)) assert.ok(page.includes(`<code>${scope}</code>`), scope);
  for (const [, hash = ''] of page.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.has(hash), hash);
  assert.equal(ids.size, [...page.matchAll(/ id="/g)].length, 'no id is there twice');
});

test('the page loads nothing from anywhere', () => {
  assert.doesNotMatch(page, /<(link|img|iframe|script) |src=|@import|url\(|https?:\/\//);
  assert.equal(page.match(/<script>/g)?.length, 1);
});

test('what comes from the schemas is text in it, never markup', () => {
  assert.doesNotMatch(page, /undefined|\[object Object\]|NaN/);
  assert.match(referencePage('<b>1</b>'), /<title>Vivarium &lt;b&gt;1/);
});
