import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { isVivError, parseRate, type VivError } from '@vivarium/model';
import { fields, presets } from './fields.ts';
import { shown } from './main.ts';
import { configFile, configOf, defaultConfig, readConfig } from './read.ts';

function refusal(said: unknown): VivError {
  try {
    configOf(said, 'config.json');
  } catch (error) {
    assert.ok(isVivError(error, 'invalid_request'), String(error));
    return error;
  }
  return assert.fail('it was taken');
}

describe('the configuration', () => {
  test('is the defaults where there is no file, and what the file says over them', async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'viv-config-'));
    try {
      assert.deepEqual(await readConfig(home), defaultConfig);
      await writeFile(configFile(home), '{"resources":{"cpu":{"oversubscription":3}}}');
      const config = await readConfig(home);
      assert.equal(config['resources.cpu.oversubscription'], 3);
      assert.equal(config['resources.memory.judge'], 'use');
      await writeFile(configFile(home), '{"resources":');
      await assert.rejects(readConfig(home), /config\.json is no JSON/);
    } finally {
      await rm(home, { recursive: true });
    }
  });

  test('takes what a preset says, but for what is said itself', () => {
    const config = configOf({ resources: { preset: 'hypeman', memory: { oversubscription: 2 } } }, 'f');
    assert.equal(config['resources.cpu.oversubscription'], 4);
    assert.equal(config['resources.memory.judge'], 'size');
    assert.equal(config['resources.memory.oversubscription'], 2);
    assert.equal(config['resources.perInstance.memory'], 32 * 2 ** 30);
  });

  test('names a field it does not know, and the nearest one it does', () => {
    const { message, hint, details } = refusal({ resources: { cpu: { oversubscribtion: 2 } } });
    assert.match(message, /no field resources\.cpu\.oversubscribtion/);
    assert.equal(hint, 'Did you mean resources.cpu.oversubscription?');
    assert.deepEqual(details, { field: 'resources.cpu.oversubscribtion' });
    assert.equal(refusal({ resource: {} }).hint, 'Did you mean resources?');
    assert.match(refusal({ quux: 1 }).hint ?? '', /viv config show/);
  });

  test('says which value is wrong, and what may be there', () => {
    for (const [said, expected] of [
      [{ resources: { preset: 'mine' } }, /resources\.preset is not one of `vivarium`, `hypeman`: "mine"/],
      [{ resources: { cpu: { oversubscription: -1 } } }, /cpu\.oversubscription is not a number from 0/],
      [{ resources: { memory: { reserve: 'much' } } }, /memory\.reserve is not a size/],
      [{ resources: { network: { capacity: '1Gb' } } }, undefined],
      [{ resources: { network: { capacity: 'fast' } } }, /network\.capacity is not a rate/],
      [{ standby: { idleTimeout: 5 } }, /standby\.idleTimeout is not a duration/],
      [{ resources: 4 }, /resources is not an object of fields/],
      [[], /is not an object of fields/],
    ] as const) {
      if (expected === undefined) configOf(said, 'config.json');
      else assert.match(refusal(said).message, expected);
    }
  });

  test('is shown in words that it takes itself', () => {
    for (const preset of Object.values(presets)) {
      const config = { ...defaultConfig, ...preset };
      const written: Record<string, unknown> = {};
      for (const [name, value] of Object.entries(shown(config))) {
        const words = name.split('.');
        let at = written;
        for (const word of words.slice(0, -1)) {
          at[word] ??= {};
          at = at[word] as Record<string, unknown>;
        }
        at[words.at(-1) ?? ''] = value;
      }
      const again = configOf(written, 'f');
      // What is shown is rounded for people, and never by more than a tenth.
      for (const name of Object.keys(fields) as (keyof typeof fields)[]) {
        const [a, b] = [again[name], config[name]];
        if (typeof a === 'number' && typeof b === 'number') assert.ok(Math.abs(a - b) <= b / 10, name);
        else assert.equal(a, b, name);
      }
    }
  });

  test('reads rates in bytes and in bits', () => {
    assert.equal(parseRate('100MB/s'), 100 * 2 ** 20);
    assert.equal(parseRate('1Gbps'), 125_000_000);
    assert.equal(parseRate('8kbps'), 1000);
    assert.equal(parseRate(5), 5);
    assert.throws(() => parseRate('fast'), /Not a rate/);
  });
});
