import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { output, run } from '../packages/engine/src/setup/command.ts';
import { systemPath } from '../scripts/setup/system-path.ts';

const root = path.resolve(import.meta.dirname, '..');

const consumer = `
import viv, { VivError, connect } from 'vivarium';
import { printStates } from '@vivarium/lifecycle';
const error = new VivError('not_found', 'gone');
if (typeof connect !== 'function' || typeof viv.run !== 'function' || error.rule.exit !== 4) throw new Error('wrong exports');
console.log(printStates().length > 0 ? 'imported' : 'empty');
`;

const typedConsumer = `
import { type Vivarium, connect } from 'vivarium';
export async function count(): Promise<number> {
  const viv: Vivarium = await connect();
  return (await viv.images.list()).length;
}
`;

describe('the published packages, installed into an empty directory', () => {
  let dir: string;
  // A data directory and assets of its own: nothing of the checkout may be needed.
  const inDir = (argv: string[]): Promise<string> =>
    output(argv, {
      cwd: dir,
      env: { VIV_HOME: path.join(dir, 'home'), VIV_ASSETS: path.join(dir, 'assets') },
    });
  const viv = (...args: string[]): Promise<string> =>
    inDir([path.join(dir, 'node_modules/.bin/viv'), ...args]);

  before(async () => {
    const packed = await output([process.execPath, path.join(root, 'scripts/pack.ts')], { cwd: root });
    dir = await mkdtemp(path.join(tmpdir(), 'pack-'));
    await writeFile(
      path.join(dir, 'package.json'),
      JSON.stringify({ name: 'consumer', private: true, type: 'module' }),
    );
    const argv = ['npm', 'install', '--no-audit', '--no-fund', ...packed.split('\n')];
    await run(argv, { cwd: dir, env: systemPath() });
  });
  after(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  test('viv tells its version', async () => {
    const { version } = JSON.parse(await output(['cat', path.join(root, 'package.json')])) as {
      version: string;
    };
    assert.match(await viv('--version'), new RegExp(`\\b${version.replaceAll('.', '\\.')}\\b`));
  });

  test('viv states prints the table', async () => {
    assert.match(await viv('states'), /Suspended/);
  });

  test('the SDK can be imported', async () => {
    await writeFile(path.join(dir, 'consumer.js'), consumer);
    assert.equal(await inDir([process.execPath, 'consumer.js']), 'imported');
  });

  test('the declarations say what the SDK takes and gives', async () => {
    await writeFile(path.join(dir, 'typed.ts'), typedConsumer);
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--lib',
      'es2024,esnext.disposable',
    ];
    const types = ['--types', 'node', '--typeRoots', path.join(root, 'node_modules/@types')];
    await inDir([path.join(root, 'node_modules/.bin/tsc'), ...options, ...types, 'typed.ts']);
  });

  test('viv setup, viv run and an example give a VM, with nothing but the packages', async () => {
    await viv('setup');
    try {
      // As somebody has them who has copied the directory: what it depends on is what was installed.
      await cp(path.join(root, 'examples'), path.join(dir, 'examples'), { recursive: true });
      assert.match(await inDir([process.execPath, 'examples/run.ts', '01-']), /1 passed, 0 failed/);
      assert.match(await viv('run', '--rm', 'busybox', '--', 'uname', '-s'), /^Linux$/m);
    } finally {
      await viv('daemon', 'stop');
    }
  });
});
