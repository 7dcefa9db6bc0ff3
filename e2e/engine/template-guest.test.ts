import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Machine, MachineSpec } from '../../packages/engine/src/drivers/driver.ts';
import { RealMachines } from '../../packages/engine/src/drivers/qemu/real-machines.ts';
import { connectGuest, type Guest, type GuestIdentity } from '../../packages/engine/src/guest/index.ts';
import { RealEngine } from './real-engine.ts';

/** A guest as a template of an image has it: stacked under nobody's name and without a network, warmed, and named afterwards. */
describe('a guest that was configured for nobody', () => {
  let real: RealEngine;
  let machines: RealMachines;
  let machine: Machine;
  let guest: Guest;
  let spec: MachineSpec;
  before(async () => {
    real = await RealEngine.open();
    machines = await RealMachines.open();
    const { disks, nic } = await borrowed(real);
    spec = await machines.spec({ disks, nic });
    machine = await machines.driver.launch(spec);
    guest = await connectGuest((channel) => machine.open(channel), AbortSignal.timeout(60_000));
  });
  after(async () => {
    await guest?.[Symbol.asyncDispose]();
    await machine?.kill();
    await machine?.[Symbol.asyncDispose]();
    await machines?.[Symbol.asyncDispose]();
    await real?.[Symbol.asyncDispose]();
  });

  const exec = async (script: string) => {
    const argv = ['/bin/sh', '-c', script];
    const execId = randomBytes(8).toString('hex');
    const connection = await guest.exec({ execId, target: 'root', argv, env: {}, stdin: false });
    let text = '';
    for await (const { data } of connection.output) text += Buffer.from(data).toString();
    return text;
  };

  test('is warmed before and after its root is stacked, and has no session or workload of it', async () => {
    await guest.warm([]);
    const nobody = {
      ...identity('template', 0),
      root: { layers: 1, layersSerial: 'layers', overlaySerial: 'root' },
    };
    await guest.configure(nobody);
    await guest.warm([]);
    await guest.warm(['/bin/sh', '/etc', '/no/such/file']);
    assert.deepEqual(await guest.sessions(), []);
    await assert.rejects(guest.workloadExit('viv:warm'), { code: 'not_found' });
    await assert.rejects(guest.stat('vm', '/sys/fs/cgroup/viv/viv:warm', false), { code: 'path_not_found' });
    assert.equal((await guest.stats()).processes, 0);
  });

  test('gets name and network by its identity, and starts a workload under it', async () => {
    const { nic } = spec;
    assert.ok(nic);
    const { ip, subnet, gateway, dns } = nic.backend;
    const network = { mac: nic.mac, address: `${ip}/${subnet.split('/')[1]}`, gateway, dns: [dns] };
    await guest.identity({ ...identity('real', 1), network });
    const workload = { argv: ['sleep', '1000'], env: { PATH: '/bin' }, cwd: '/', user: '' };
    await guest.startWorkload({ id: 'root', ...workload, stdin: 'null', output: 'ring' });
    const seen = await exec(
      'hostname; cat /etc/hostname /run/vivarium/generation /etc/resolv.conf; grep -c real /etc/hosts',
    );
    assert.equal(seen, `real\nreal\n1\nnameserver ${dns}\n1\n`);
    await using server = createServer((socket) => socket.end('hello\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    assert.equal(await exec(`nc -w 5 ${gateway} ${port}`), 'hello\n');
  });
});

function identity(hostname: string, generation: number): GuestIdentity {
  const clockNanos = BigInt(Date.now()) * 1_000_000n;
  const machineId = randomBytes(16).toString('hex');
  return { hostname, machineId, generation, entropy: randomBytes(64), clockNanos };
}

/** Disks and card of an instance that does not need them: it is created, started once and stopped. */
async function borrowed({ engine, home }: RealEngine): Promise<Pick<MachineSpec, 'disks' | 'nic'>> {
  const vm = await engine.run('busybox', { cmd: ['true'] });
  await vm.stop({ force: true });
  const dir = path.join(home, 'instances', vm.id);
  const { nic } = JSON.parse(await readFile(path.join(dir, 'record.json'), 'utf8'));
  const launch: string = await readFile(path.join(dir, 'launch.json'), 'utf8');
  const { argv } = JSON.parse(launch) as { argv: string[] };
  const nodes = argv.filter((_, at) => argv[at - 1] === '-blockdev').map((text) => JSON.parse(text));
  const disks = nodes.map((node) => ({
    serial: String(node['node-name']).slice('disk-'.length),
    path: path.resolve(dir, node.file.filename),
    format: node.driver,
    readOnly: node['read-only'],
  }));
  return { disks, nic };
}
