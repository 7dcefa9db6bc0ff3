import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { connectUnix } from '../../packages/engine/src/drivers/qemu/unix-socket.ts';
import {
  connectGuest,
  type Guest,
  type GuestExecConnection,
  type RestoredIdentity,
} from '../../packages/engine/src/guest/index.ts';
import { compile } from '../images/programs.ts';
import { RealEngine, until } from './real-engine.ts';

/** Connects, reads until that fails or ends, and says how: `ECONNABORTED`, or the number of bytes at the end. */
const reader = `
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = inet_addr(argv[1])};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return 1;
  char byte;
  long count = 0, got;
  while ((got = read(fd, &byte, 1)) > 0) count++;
  if (got == 0) printf("end after %ld\\n", count);
  else puts(errno == ECONNABORTED ? "ECONNABORTED" : "another error");
  return 0;
}
`;

/** Says by what it was called, and whether the workload stands still: then its counter doesn't move. */
const hook = (name: string, last: string) => `#!/bin/sh
a=$(cat /tmp/counter); sleep 0.3; b=$(cat /tmp/counter)
[ "$a" = "$b" ] && still=still || still=moving
echo "${name} $VIVARIUM_GENERATION $VIVARIUM_HOSTNAME $VIVARIUM_COPY $still" >> /tmp/hooks
${last}`;

/** Fails where an old key is still there. */
const keygen = `#!/bin/sh
[ "$1" = -A ] || exit 9
for f in /etc/ssh/ssh_host_*_key; do [ -e "$f" ] && exit 8; done
echo "made for $(cat /etc/machine-id)" > /etc/ssh/ssh_host_rsa_key`;

const prepare = (gateway: string, port: number) => `
mkdir -p /etc/ssh /etc/vivarium/identity.d /usr/local/bin
cd /etc/ssh; echo old > ssh_host_rsa_key; echo old > ssh_host_ed25519_key.pub; echo mine > sshd_config
printf '%s' '${keygen}' > /usr/local/bin/ssh-keygen
cd /etc/vivarium/identity.d
printf '%s' '${hook('first', 'sleep 1000 & echo $! > /tmp/left')}' > 10-first
printf '%s' '${hook('second', 'echo cannot go on >&2; exit 3')}' > 20-second
printf '%s' 'exit 1' > README
chmod 755 /usr/local/bin/ssh-keygen *-*; touch /tmp/say
(i=0; while :; do i=$((i + 1)); echo $i > /tmp/counter.new; mv /tmp/counter.new /tmp/counter; sleep 0.05; done) &
(sleep 1000 | nc -l -p 7000 > /tmp/heard) &
until netstat -ltn | grep -q :7000; do sleep 0.05; done
tail -f /tmp/say | nc 127.0.0.1 7000 &
/usr/local/bin/reader ${gateway} ${port} > /tmp/outside &
wait
`;

/** The instance lives on without its engine; the guest is spoken to directly, as by an engine that has restored it. */
describe('an identity told to a real guest as to a copy', () => {
  let real: RealEngine;
  let vm: Vm;
  let guest: Guest;
  let identity: RestoredIdentity;
  let outside: { server: Server; port: number };
  let own: GuestExecConnection | undefined;
  let ticksBefore = 0;
  before(async () => {
    outside = await listenAnywhere();
    real = await RealEngine.open();
    vm = await real.engine.run('busybox', { name: 'web', cmd: ['sleep', '1000'], detached: true });
    await copyReader(vm);
    const script = prepare(vm.info.network?.gateway ?? '', outside.port);
    // It never ends by itself: the engine lets go of it.
    Promise.resolve(vm.exec(['sh', '-c', script])).catch(() => undefined);
    const peers = async () => (await vm.exec(['sh', '-c', 'cat /tmp/counter; netstat -tn'])).stdout;
    await until('both connections', async () => {
      const seen = await peers();
      return seen.includes(`:${outside.port} `) && seen.includes('127.0.0.1:7000 ');
    });
    await real.engine.close();
    const dir = path.join(real.home, 'instances', vm.id);
    identity = await identityOf(dir);
    guest = await connectGuest((channel) => connectUnix(dir, `${channel}.sock`), AbortSignal.timeout(20_000));
  });
  after(async () => {
    own?.detach();
    await guest?.[Symbol.asyncDispose]();
    outside.server.close();
    await real.reopen();
    await real[Symbol.asyncDispose]();
  });

  const ticks = async () => (await guest.stat('vm', '/run/ticks', false)).sizeBytes;
  const exec = async (script: string, target = 'root') => {
    const argv = ['/bin/sh', '-c', script];
    const execId = randomBytes(8).toString('hex');
    const connection = await guest.exec({ execId, target, argv, env: {}, stdin: false });
    let text = '';
    for await (const { data } of connection.output) text += Buffer.from(data).toString();
    return text;
  };

  test('begins with a guest that stands still, in which nothing is started', async () => {
    // The agent's root has no programs; those of the image are below `/r` in it.
    const busybox = '/r/bin/busybox';
    const ticking = `while :; do echo >> /run/ticks; ${busybox} sleep 0.05; done`;
    const spec = { target: 'vm', env: {}, stdin: false, argv: [busybox, 'sh', '-c', ticking] };
    own = await guest.exec({ ...spec, execId: 'own' });
    await until('a tick', () => ticks().then(Boolean, () => false));
    await guest.freeze();
    await guest.freeze();
    ticksBefore = await ticks();
    for (const target of ['vm', 'root']) {
      const late = guest.exec({ ...spec, execId: `late-${target}`, target });
      await assert.rejects(late, { code: 'conflict' });
    }
  });

  test('is not joined by a second one, or a freeze; other calls are answered meanwhile', async () => {
    const told = guest.identity(identity);
    await guest.ping();
    await assert.rejects(guest.identity(identity), { code: 'conflict' });
    await assert.rejects(guest.freeze(), { code: 'conflict' });
    await told;
    assert.equal(await ticks(), ticksBefore, 'an exec with target vm ran while it was frozen');
    await guest.thaw();
    await until('another tick', async () => (await ticks()) > ticksBefore);
  });

  test('is told by the one thread of a real-time class; all else that the agent begins has the usual one', async () => {
    const cut = "/r/bin/busybox cut -d ' ' -f 41";
    const script = `${cut} /proc/1/task/*/stat | /r/bin/busybox grep -c 1; ${cut} /proc/self/stat`;
    const argv = ['/r/bin/busybox', 'sh', '-c', script];
    const spec = { execId: 'classes', target: 'vm', argv, env: {}, stdin: false };
    let told = '';
    for await (const { data } of (await guest.exec(spec)).output) told += Buffer.from(data).toString();
    assert.equal(told, '1\n0\n');
  });

  test('has changed the names, in the kernel and in the files of the image', async () => {
    const seen = await exec('hostname; cat /etc/hostname /etc/machine-id; grep -c copy /etc/hosts');
    assert.equal(seen, `copy\ncopy\n${identity.machineId}\n1\n`);
  });

  test('has replaced the SSH host keys, after the machine id and nothing else', async () => {
    const seen = await exec('cd /etc/ssh; ls; cat ssh_host_rsa_key');
    assert.equal(seen, `ssh_host_rsa_key\nsshd_config\nmade for ${identity.machineId}\n`);
  });

  test('has told the generation in the view of the workload', async () => {
    assert.equal(await exec('cat /run/vivarium/generation'), '7\n');
  });

  test('has run the hooks in order while the workload stood still; one that fails is on the console', async () => {
    assert.equal(await exec('cat /tmp/hooks'), 'first 7 copy 1 still\nsecond 7 copy 1 still\n');
    const console = await readFile(path.join(real.home, 'instances', vm.id, 'console.log'), 'utf8');
    assert.match(console, /identity\.d\/20-second ended with 3: cannot go on/);
  });

  test('has made what a hook left running a part of the workload', async () => {
    assert.equal(await exec('kill -0 $(cat /tmp/left) && cat /proc/$(cat /tmp/left)/cgroup'), '0::/\n');
  });

  test('has ended connections to the outside with ECONNABORTED, and those inside go on', async () => {
    const seen = await exec(
      'echo still here >> /tmp/say; until grep here /tmp/heard && grep . /tmp/outside; do sleep 0.05; done',
    );
    assert.match(seen, /still here\n/);
    assert.match(seen, /ECONNABORTED\n$/);
  });

  test('and lets the guest out again afterwards', async () => {
    await exec(`sleep 1 | nc -w 2 ${identity.network?.gateway} ${outside.port}`);
    assert.ok(outsideConnections > 1);
  });

  test('leaves keys alone and runs no hook where the guest is no copy', async () => {
    await guest.identity({ ...identity, generation: 8, copy: false, resetConnections: false });
    const seen = await exec(
      'cat /tmp/hooks | wc -l; ls /etc/ssh/ssh_host_rsa_key; cat /run/vivarium/generation',
    );
    assert.equal(seen.replaceAll(' ', ''), '2\n/etc/ssh/ssh_host_rsa_key\n8\n');
  });

  test('tells the generation also where the workload has mounted another /run', async () => {
    await exec('mkdir -p /run; mount -t tmpfs none /run');
    await guest.identity({ ...identity, generation: 10, copy: false });
    assert.equal(
      await exec('cat /run/vivarium/generation; umount /run; cat /run/vivarium/generation'),
      '10\n10\n',
    );
  });

  test('leaves the workload where it is when the guest is warmed', async () => {
    await guest.warm([]);
    assert.equal(await exec('echo on'), 'on\n');
  });

  test('lets go in its turn what is to be let go by who it becomes, and nothing by who it is not', async () => {
    await guest.freeze();
    await assert.rejects(guest.thaw(undefined, 98), { code: 'conflict' });
    const order: string[] = [];
    const note = (what: string) => () => void order.push(what);
    await Promise.all([
      guest.identity({ ...identity, generation: 11 }).then(note('told')),
      guest.thaw(undefined, 11).then(note('thawed')),
    ]);
    assert.deepEqual(order, ['told', 'thawed']);
  });

  test('leaves the files of a machine that goes on as the one it is as its users have them', async () => {
    const same = { ...identity, copy: false, resetConnections: false };
    await guest.identity({ ...same, generation: 12 });
    await exec('echo 10.0.0.9 mine >> /etc/hosts');
    await guest.identity({ ...same, generation: 13 });
    assert.equal(await exec('grep -c mine /etc/hosts; cat /run/vivarium/generation'), '1\n13\n');
    await guest.identity({ ...identity, generation: 14 });
    assert.equal(await exec('grep -c mine /etc/hosts; cat /run/vivarium/generation'), '0\n14\n');
  });

  test('is let go by a thaw that comes right behind the freeze', async () => {
    for (let round = 0; round < 5; round++) {
      await Promise.all([guest.freeze(), guest.thaw()]);
      const [before, after] = [await exec('cat /tmp/counter'), await exec('sleep 0.2; cat /tmp/counter')];
      assert.notEqual(before, after, 'it counts');
    }
  });

  test('runs a hook that comes while the guest stands still, and one that was there', async () => {
    await exec(
      "cd /etc/vivarium; rm identity.d/*; printf '#!/bin/sh\\necho late >> /tmp/late' > spare; chmod 755 spare",
    );
    await guest.freeze();
    const renamed = { from: '/etc/vivarium/spare', to: '/etc/vivarium/identity.d/10-late' };
    await guest.files('root').rename(renamed.from, renamed.to, false);
    await guest.identity({ ...identity, generation: 15 });
    await guest.thaw();
    await guest.freeze();
    await guest.identity({ ...identity, generation: 16 });
    await guest.thaw();
    assert.equal(await exec('cat /tmp/late; cat /etc/hostname'), `late\nlate\n${identity.hostname}\n`);
  });

  test('ends a hook that takes too long, with all it has started', async () => {
    await exec(
      "cd /etc/vivarium/identity.d; rm *; printf '#!/bin/sh\\nsleep 1234 & wait' > slow; chmod 755 slow",
    );
    await guest.identity({ ...identity, generation: 9 });
    assert.equal(await exec('ps | grep -q "[s]leep 1234" || echo none'), 'none\n');
    const console = await readFile(path.join(real.home, 'instances', vm.id, 'console.log'), 'utf8');
    assert.match(console, /identity\.d\/slow took too long and was killed/);
  });

  test('is not told at all where something does not stand still: then everything goes on', async () => {
    const fsfreeze = async (how: string) => {
      const argv = ['/r/bin/busybox', 'fsfreeze', how, '/l/w'];
      const spec = { execId: `fs${how}`, target: 'vm', argv, env: {}, stdin: false };
      assert.equal((await (await guest.exec(spec)).exit).code, 0);
    };
    // Whoever writes to a file system that is held waits in a sleep that nothing interrupts.
    await exec('(while :; do echo > /srv-file; done) > /dev/null 2>&1 &');
    await fsfreeze('--freeze');
    try {
      await assert.rejects(guest.freeze(), { code: 'guest_error', message: /freezing root/ });
    } finally {
      await fsfreeze('--unfreeze');
    }
    assert.equal(await exec('echo goes on'), 'goes on\n');
    await guest.freeze();
    await guest.thaw();
  });

  test('comes from a new host, whose greeting ends the tunnels of the host before', async () => {
    const listening = 'until netstat -ltn | grep -q :7001; do sleep 0.05; done';
    await exec(
      `mkfifo /tmp/quiet; (nc -l -p 7001 0<> /tmp/quiet; echo > /tmp/ended) > /dev/null 2>&1 & ${listening}`,
    );
    const tunnel = await guest.connect('127.0.0.1', 7001);
    tunnel.on('error', () => tunnel.destroy());
    await exec('until netstat -tn | grep :7001 | grep -q ESTABLISHED; do sleep 0.05; done');
    await guest[Symbol.asyncDispose]();
    const dir = path.join(real.home, 'instances', vm.id);
    // It has no use for the bulk port, and so greets nobody there.
    guest = await connectGuest((channel) => connectUnix(dir, `${channel}.sock`), AbortSignal.timeout(20_000));
    await until('the end of the tunnel', async () => (await exec('ls /tmp')).includes('ended'));
  });
});

let outsideConnections = 0;

async function listenAnywhere(): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    outsideConnections += 1;
    socket.on('error', () => socket.destroy()).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as { port: number }).port };
}

async function copyReader(vm: Vm): Promise<void> {
  const dir = await mkdtemp(path.join(tmpdir(), 'reader-'));
  try {
    await compile(reader, path.join(dir, 'reader'));
    await vm.exec(['mkdir', '-p', '/usr/local/bin']).orThrow();
    await vm.files.copyIn(path.join(dir, 'reader'), '/usr/local/bin/reader');
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function identityOf(dir: string): Promise<RestoredIdentity> {
  const { nic } = JSON.parse(await readFile(path.join(dir, 'record.json'), 'utf8'));
  const { subnet, ip, gateway, dns } = nic.backend;
  return {
    hostname: 'copy',
    machineId: randomBytes(16).toString('hex'),
    generation: 7,
    entropy: randomBytes(64),
    clockNanos: BigInt(Date.now()) * 1_000_000n,
    network: { mac: nic.mac, address: `${ip}/${subnet.split('/')[1]}`, gateway, dns: [dns] },
    copy: true,
    resetConnections: true,
  };
}
