import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { NicSpec } from '../drivers/driver.ts';
import { parseNameServers, parseRoutes } from './host-addresses.ts';
import { addressToNumber, numberToAddress, overlap, parseSubnet } from './ipv4.ts';
import { UserNetwork } from './user.ts';

describe('user-mode networking', () => {
  test('gives an instance the same card each time, as long as nothing is in the way', () => {
    const network = new UserNetwork(() => []);
    assert.deepEqual(network.allocate('web', []), network.allocate('web', []));
    assert.notEqual(network.allocate('web', []).mac, network.allocate('db', []).mac);
  });

  test('never gives two instances one subnet or one MAC address', () => {
    const network = new UserNetwork(() => []);
    const nics: NicSpec[] = [];
    for (let n = 0; n < 500; n += 1) nics.push(network.allocate(`same-${n % 250}`, nics));
    assert.equal(new Set(nics.map((nic) => nic.backend.subnet)).size, 500);
    assert.equal(new Set(nics.map((nic) => nic.mac)).size, 500);
    for (const { mac } of nics) assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
  });

  test('gives another subnet where the host has come to use the one it would give', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 12, max: 32 }), (id, prefix) => {
        const wanted = parseSubnet(new UserNetwork(() => []).allocate(id, []).backend.subnet);
        const first = wanted.first - (wanted.first % 2 ** (32 - prefix));
        const { backend } = new UserNetwork(() => [{ first, prefix }]).allocate(id, []);
        assert.equal(overlap(parseSubnet(backend.subnet), { first, prefix }), false);
      }),
    );
  });

  test('keeps clear of whatever networks and name servers the host has', () => {
    const subnet = fc
      .record({ address: fc.integer({ min: 0, max: 2 ** 32 - 1 }), prefix: fc.integer({ min: 6, max: 32 }) })
      .map(({ address, prefix }) => ({ first: address - (address % 2 ** (32 - prefix)), prefix }));
    fc.assert(
      fc.property(fc.array(subnet, { maxLength: 20 }), fc.string(), (avoid, id) => {
        const { backend } = new UserNetwork(() => avoid).allocate(id, []);
        const chosen = parseSubnet(backend.subnet);
        assert(avoid.every((network) => !overlap(network, chosen)));
        const members = [backend.gateway, backend.ip, backend.dns].map(addressToNumber);
        assert.equal(new Set(members).size, 3);
        assert(
          members.every(
            (address) => overlap(chosen, { first: address, prefix: 32 }) && address !== chosen.first,
          ),
        );
      }),
    );
  });

  test('goes elsewhere where a VPN routes all of 10/8, and says so where everything is routed', () => {
    const ten = new UserNetwork(() => [parseSubnet('10.0.0.0/8')]);
    assert.match(ten.allocate('a', []).backend.subnet, /^172\./);
    const all = new UserNetwork(() => [parseSubnet('0.0.0.0/1'), parseSubnet('128.0.0.0/1')]);
    assert.throws(() => all.allocate('a', []), { code: 'insufficient_resources' });
  });
});

describe('the addresses of a host', () => {
  test('are read from the routing table of the kernel, without the default route', () => {
    const table = [
      'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
      'eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0',
      'eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
      '',
    ].join('\n');
    assert.deepEqual(parseRoutes(table), [parseSubnet('172.17.0.0/16')]);
  });

  test('include its name servers', () => {
    const text = '# nameserver 1.1.1.1\nnameserver 10.64.0.2\nnameserver fe80::1\nsearch example\n';
    assert.deepEqual(parseNameServers(text), [parseSubnet('10.64.0.2/32')]);
  });

  test('survive the way to a number and back', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => assert.equal(numberToAddress(addressToNumber(address)), address)),
    );
  });
});
