import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { createRequire, type ResolveFnOutput } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ownModules } from './own-modules.ts';

const packages = path.resolve(import.meta.dirname, '../..');
const home = `${pathToFileURL(packages)}/`;

function resolver(extension = '.ts') {
  const asked: string[] = [];
  const resolve = ownModules(home, extension);
  return {
    asked,
    /** As Node calls it. What is left to Node is found in `node:`. */
    ask: (specifier: string, parent: string): string => {
      const context = { conditions: [], importAttributes: {}, parentURL: parent };
      const next = (name: string): ResolveFnOutput => {
        asked.push(name);
        return { url: `node:${name}` };
      };
      return (resolve(specifier, context, next) as ResolveFnOutput).url;
    },
  };
}

test('every file of ours is found where Node finds it', () => {
  const { ask, asked } = resolver();
  let imports = 0;
  for (const file of globSync(`${packages}/*/src/**/*.ts`)) {
    const parent = pathToFileURL(file).href;
    const find = createRequire(parent).resolve;
    for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export|\} from)\b[^;]*?'(\.[^']+\.ts)'/gm,
    )) {
      assert.equal(ask(specifier, parent), pathToFileURL(find(specifier)).href, `${specifier} in ${file}`);
      imports++;
    }
  }
  assert.ok(imports > 500, `only ${imports} imports`);
  assert.deepEqual(asked, []);
});

test('one package finds another once, and the rest is left to Node', () => {
  const { ask, asked } = resolver();
  const [here, there] = [`${home}cli/src/index.ts`, `${home}client/src/vm.ts`];
  for (const parent of [here, there]) assert.equal(ask('@vivarium/model', parent), 'node:@vivarium/model');
  assert.deepEqual(asked, ['@vivarium/model']);
  for (const [specifier, parent] of [
    ['node:fs', here],
    ['commander', here],
    ['./data.json', here],
    ['./lib/own.ts', `${home}cli/node_modules/other/index.ts`],
    ['@vivarium/model', 'file:///elsewhere/index.ts'],
    ['./own.ts', 'file:///elsewhere/index.ts'],
  ] as const) {
    assert.equal(ask(specifier, parent), `node:${specifier}`);
  }
});

test('published files are found by the same rules', () => {
  const { ask } = resolver('.js');
  assert.equal(ask('../style.js', `${home}cli/dist/render/table.js`), `${home}cli/dist/style.js`);
});
