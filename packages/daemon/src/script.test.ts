import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { openHouse } from './testing/house.ts';

const program = `
import { connect } from '@vivarium/client';
const viv = connect({ home: process.env.VIV_HOME, autostart: false });
const vm = await viv.run('busybox', { name: 'script' });
console.log((await vm.exec(['echo', 'said'])).stdout.trim());
for await (const line of vm.exec(['yes']).lines()) { console.log(line); break; }
await vm.exec(['sleep', '1000'], { signal: AbortSignal.timeout(50) }).then(null, ({ code }) => console.log(code));
await vm.files.writeFile('/note', 'kept');
console.log(String(await vm.files.readFile('/note')));
for await (const event of viv.events({ since: 0 })) { console.log(event.seq); break; }
(await vm.connect(7)).destroy();
(await vm.console()).destroy();
await (await vm.attach()).close();
await vm.delete({ force: true });
`;

test('a program that has used the SDK and closed nothing ends by itself', async () => {
  await using house = await openHouse({ graceMs: 50 });
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program],
    { cwd: import.meta.dirname, env: { ...process.env, VIV_HOME: house.home }, timeout: 30_000 },
  );
  assert.equal(stdout, 'said\ny\ntimeout\nkept\n1\n');
});
