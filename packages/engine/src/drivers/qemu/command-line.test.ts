import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MachineSpec } from '../driver.ts';
import { qemuArguments } from './command-line.ts';
import { checkSpec } from './spec.ts';

const spec = (overrides: Partial<MachineSpec> = {}): MachineSpec => ({
  instanceId: 'web-1',
  dir: '/data/instances/web-1',
  cpus: 1,
  memoryBytes: 256 * 2 ** 20,
  boot: { kind: 'direct', kernel: '/a/vmlinux', initramfs: '/a/initramfs', cmdline: 'console=ttyS0' },
  guest: 'agent',
  disks: [],
  publish: [],
  run: true,
  detached: true,
  logs: { maxBytes: 2 ** 20, keep: 1 },
  ...overrides,
});
const tcg = { accelerator: 'tcg', machine: 'pc-q35-7.2' } as const;
const nic: MachineSpec['nic'] = {
  mac: '02:00:00:00:00:01',
  backend: { kind: 'user', subnet: '10.64.0.0/28', ip: '10.64.0.2', gateway: '10.64.0.1', dns: '10.64.0.3' },
};

/** The values that follow an option. */
function valuesOf(args: string[], option: string): string[] {
  return args.flatMap((argument, at) => (args[at - 1] === option ? [argument] : []));
}

describe('the command line of QEMU', () => {
  test('has no default devices and no user configuration, and is sandboxed', () => {
    const args = qemuArguments(spec(), tcg);
    for (const flag of ['-nodefaults', '-no-user-config', '-no-reboot']) assert(args.includes(flag), flag);
    assert.deepEqual(valuesOf(args, '-sandbox'), [
      'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    ]);
  });

  test('pins the machine, and gives TCG a CPU with all of x86-64-v2', () => {
    const args = qemuArguments(spec(), tcg);
    assert.match(valuesOf(args, '-machine')[0] ?? '', /^pc-q35-7\.2,/);
    for (const feature of ['ssse3', 'sse4.1', 'sse4.2', 'popcnt', 'cx16', 'lahf_lm']) {
      assert(valuesOf(args, '-cpu')[0]?.includes(`+${feature}`), feature);
    }
    assert.match(valuesOf(args, '-accel')[0] ?? '', /^tcg,thread=single/);
    assert.match(valuesOf(qemuArguments(spec({ cpus: 2 }), tcg), '-accel')[0] ?? '', /thread=multi/);
  });

  test('has devices of virtio 1.0, or only such as were before', () => {
    const globals = (args: string[]) => valuesOf(args, '-global');
    assert.deepEqual(globals(qemuArguments(spec(), tcg)), []);
    const legacy = { ...tcg, virtio: 'legacy' } as const;
    assert.deepEqual(globals(qemuArguments(spec(), legacy)), ['virtio-pci.disable-modern=on']);
  });

  test('has the kernel of a guest of ours go by the time stamp counter under TCG, and only there', () => {
    const appended = (args: string[]) => valuesOf(args, '-append')[0];
    assert.equal(appended(qemuArguments(spec(), tcg)), 'console=ttyS0 tsc=reliable');
    const known = { ...tcg, tscKhz: 2_596_132 };
    const told = 'console=ttyS0 tsc=reliable tsc_early_khz=2596132';
    assert.equal(appended(qemuArguments(spec(), known)), told);
    assert.equal(appended(qemuArguments(spec({ guest: 'none' }), known)), 'console=ttyS0');
    assert.equal(appended(qemuArguments(spec(), { ...known, accelerator: 'kvm' })), 'console=ttyS0');
  });

  test('gives KVM the host CPU', () => {
    const args = qemuArguments(spec(), { accelerator: 'kvm', machine: 'pc-q35-7.2' });
    assert.deepEqual([...valuesOf(args, '-accel'), ...valuesOf(args, '-cpu')], ['kvm', 'host']);
  });

  test('stops the vCPUs of a machine that shall only be prepared', () => {
    assert(!qemuArguments(spec(), tcg).includes('-S'));
    assert(qemuArguments(spec({ run: false }), tcg).includes('-S'));
    for (const when of ['at-start', 'when-told'] as const) {
      assert(!qemuArguments(spec(), tcg, when).includes('-S'));
      assert(qemuArguments(spec({ run: false }), tcg, when).includes('-S'));
    }
  });

  test('has the three ports for a guest with our agent and none for a foreign one', () => {
    const ports = (args: string[]) =>
      valuesOf(args, '-device').filter((device) => device.startsWith('virtserialport'));
    assert.deepEqual(
      ports(qemuArguments(spec(), tcg)).map((device) => device.split('name=')[1]),
      ['vivarium.control', 'vivarium.bulk', 'vivarium.log'],
    );
    assert.deepEqual(ports(qemuArguments(spec({ guest: 'none' }), tcg)), []);
  });

  test('names every path relative to the machine or as JSON, so that commas and length do no harm', () => {
    const path = '/data/a,b=c "d"/root.qcow2';
    const args = qemuArguments(
      spec({ disks: [{ serial: 'root', path, format: 'qcow2', readOnly: false }] }),
      tcg,
    );
    const [blockdev] = valuesOf(args, '-blockdev').map((json) => JSON.parse(json));
    assert.equal(blockdev.file.filename, path);
    assert.equal(blockdev.file.locking, 'on');
    assert.equal(blockdev.file.cache['no-flush'], false);
    assert(args.every((argument) => !argument.includes('/data/instances')));
  });

  test('writes to no read-only disk, and boots firmware from the disks in their order', () => {
    const disks: MachineSpec['disks'] = [
      { serial: 'layers', path: '/l.vmdk', format: 'vmdk', readOnly: true },
      { serial: 'root', path: '/r.qcow2', format: 'qcow2', readOnly: false },
    ];
    const args = qemuArguments(spec({ disks, boot: { kind: 'firmware' } }), tcg);
    const [layers, root] = valuesOf(args, '-blockdev').map((json) => JSON.parse(json));
    assert.deepEqual([layers['read-only'], root['read-only']], [true, false]);
    assert.deepEqual([layers.discard, root.discard], [undefined, 'unmap']);
    const devices = valuesOf(args, '-device').filter((device) => device.startsWith('virtio-blk'));
    assert.deepEqual(devices, [
      'virtio-blk-pci,drive=disk-layers,serial=layers,addr=5,bootindex=0',
      'virtio-blk-pci,drive=disk-root,serial=root,addr=6,bootindex=1',
    ]);
    assert(!args.includes('-kernel'));
  });

  test('hangs volumes on a controller of their own, which each guest with our agent has', () => {
    const disks: MachineSpec['disks'] = [
      { serial: 'root', path: '/r.qcow2', format: 'qcow2', readOnly: false },
      { serial: 'data', path: '/d.qcow2', format: 'qcow2', readOnly: true, unit: 7 },
    ];
    const devices = (args: string[]) =>
      valuesOf(args, '-device').filter((device) => /scsi|virtio-blk/.test(device));
    assert.deepEqual(devices(qemuArguments(spec({ disks }), tcg)), [
      'virtio-scsi-pci,id=volumes,num_queues=1,addr=1e',
      'virtio-blk-pci,drive=disk-root,serial=root,addr=5',
      'scsi-hd,id=volume-data,bus=volumes.0,scsi-id=0,lun=7,drive=disk-data,serial=data',
    ]);
    assert.equal(devices(qemuArguments(spec({ guest: 'none' }), tcg)).length, 0);
  });

  test('forwards each published guest port once, from a port that the kernel picks', () => {
    const publish = (guestPort: number, hostPort: number) =>
      ({ hostAddress: '0.0.0.0', hostPort, guestPort, binding: 'required' }) as const;
    const args = qemuArguments(
      spec({ nic, publish: [publish(80, 8080), publish(80, 8081), publish(22, 0)] }),
      tcg,
    );
    const [netdev = ''] = valuesOf(args, '-netdev');
    assert.deepEqual(netdev.match(/hostfwd=[^,]*/g), [
      'hostfwd=tcp:127.0.0.1:0-10.64.0.2:80',
      'hostfwd=tcp:127.0.0.1:0-10.64.0.2:22',
    ]);
    assert(netdev.includes('net=10.64.0.0/28,host=10.64.0.1,dns=10.64.0.3'));
  });
});

describe('a machine spec', () => {
  const refused: [what: string, overrides: Partial<MachineSpec>][] = [
    ['an id that says more to QEMU', { instanceId: 'a,debug-threads=on' }],
    ['no vCPU', { cpus: 0 }],
    ['half a vCPU', { cpus: 1.5 }],
    ['too little memory', { memoryBytes: 2 ** 20 }],
    ['a relative directory', { dir: 'm1' }],
    [
      'a serial that is too long',
      { disks: [{ serial: 'x'.repeat(21), path: '/a', format: 'raw', readOnly: true }] },
    ],
    ['a serial with a comma', { disks: [{ serial: 'a,b', path: '/a', format: 'raw', readOnly: true }] }],
    [
      'two disks with one serial',
      { disks: [1, 2].map((n) => ({ serial: 'a', path: `/${n}`, format: 'raw', readOnly: true })) },
    ],
    [
      'a unit that is none',
      { disks: [{ serial: 'a', path: '/a', format: 'raw', readOnly: true, unit: 256 }] },
    ],
    ['a MAC address with a comma', { nic: { ...nic, mac: '02:00:00:00:00:01,rom=x' } }],
    ['an address that is none', { nic: { ...nic, backend: { ...nic.backend, ip: '10.0.0.2,smb=/' } } }],
    [
      'ports without a network',
      { publish: [{ hostAddress: '127.0.0.1', hostPort: 1, guestPort: 1, binding: 'required' }] },
    ],
    [
      'a guest port 0',
      { nic, publish: [{ hostAddress: '127.0.0.1', hostPort: 1, guestPort: 0, binding: 'required' }] },
    ],
  ];
  for (const [what, overrides] of refused) {
    test(`with ${what} is refused`, () => {
      assert.throws(() => checkSpec(spec(overrides)), { code: 'invalid_request' });
    });
  }

  test('that is in order is taken', () => checkSpec(spec({ nic })));
});
