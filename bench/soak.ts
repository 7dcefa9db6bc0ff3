// "Restore you can trust": a guest that checks itself is suspended, resumed and forked again and again.
// Usage: npm run soak -- [--rounds 200] [--forks 100] [--kills]
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isVivError, type Vm } from '@vivarium/model';
import { fsck } from './soak/disk.ts';
import { checkFiles, command, lookInto, type Sight, untilBusy } from './soak/guest.ts';
import { House } from './soak/house.ts';
import { NumberedLines } from './soak/lines.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    forks: { type: 'string', default: '100' },
    kills: { type: 'boolean', default: false },
  },
});
const [rounds, forks] = [Number(values.rounds), Number(values.forks)];
/** A round of so many kills something, where that is asked for. */
const killEvery = 5;

const findings: string[] = [];
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
const found = (where: string, what: readonly string[]): void => {
  for (const text of what) {
    findings.push(`${where}: ${text}`);
    say(`✗ ${where}: ${text}`);
  }
};
const someMs = (most: number): Promise<void> => delay(Math.random() * most);

/** What a VM was seen to be last. A new boot begins anew. */
class Memory {
  #last: Sight | undefined;

  judge(where: string, sight: Sight): void {
    const last = this.#last?.life === sight.life ? this.#last : undefined;
    const back = (name: 'count' | 'tcp') =>
      last !== undefined && !(sight[name] >= last[name])
        ? [`${name} went back from ${last[name]} to ${sight[name]}`]
        : [];
    found(where, [...back('count'), ...back('tcp'), ...sight.bad]);
    this.#last = sight;
  }

  get life(): string | undefined {
    return this.#last?.life;
  }
}

await using house = await House.open();
let vm: Vm = await house.viv.run('busybox', { name: 'soak', cmd: command });
const memory = new Memory();
memory.judge('at first', await untilBusy(vm));
let lines = new NumberedLines(vm);
const began = performance.now();

async function lookAt(where: string): Promise<void> {
  const before = lines.count;
  memory.judge(where, await lookInto(vm));
  found(where, lines.wrong);
  const deadline = Date.now() + 20_000;
  while (lines.count === before && lines.wrong.length === 0) {
    if (Date.now() > deadline) found(where, ['the exec prints no more lines']);
    if (Date.now() > deadline) break;
    await delay(5);
  }
}

async function filesOf(where: string, of: Vm): Promise<void> {
  const { wrong, files } = await checkFiles(of);
  found(where, files > 0 ? wrong : [...wrong, 'there are no files']);
}

for (let round = 1; round <= rounds; round++) {
  const where = `round ${round}`;
  if (values.kills && round % killEvery === 0) {
    await killedRound(where, round % (2 * killEvery) === 0 ? 'daemon' : 'VMM');
  } else {
    await someMs(300);
    await vm.suspend();
    await someMs(100);
    await vm.start();
    await lookAt(where);
  }
  if (round % 10 === 0) await filesOf(where, vm);
  if (round % 20 === 0) say(`${round} of ${rounds} suspended and resumed, ${lines.count} lines`);
}

for (let number = 1; number <= forks; number++) {
  const where = `fork ${number}`;
  const before = await lookInto(vm);
  const [copy] = await vm.fork();
  if (copy === undefined) throw new Error('A fork without a copy');
  const child = new Memory();
  child.judge(where, before);
  child.judge(where, await lookInto(copy));
  if (child.life !== before.life) found(where, ['the copy has booted']);
  if (number % 5 === 0) await filesOf(where, copy);
  await someMs(100);
  child.judge(where, await lookInto(copy));
  await copy.delete({ force: true });
  await lookAt(where);
  if (number % 20 === 0) say(`${number} of ${forks} forked`);
}

await filesOf('at last', vm);
found('at last', await lines.end({ expected: false }));
await vm.stop();
found('at last', await fsck(house.instanceDir(vm), house.home));
say(
  `${rounds} suspended and resumed, ${forks} forked, in ${Math.round((performance.now() - began) / 1000)} s: ` +
    `${findings.length === 0 ? 'nothing found' : `${findings.length} findings`}`,
);
process.exitCode = findings.length === 0 ? 0 : 1;

/** A VMM that is killed takes its memory along, a daemon takes nothing. Afterwards the VM runs again, whatever it had come to. */
async function killedRound(where: string, whom: 'daemon' | 'VMM'): Promise<void> {
  const life = memory.life;
  const work = (async () => {
    await vm.suspend();
    await vm.start();
  })().catch((error: unknown) => String(error)); // It was killed; what it has come to is looked at below.
  await someMs(400);
  if (whom === 'daemon') await house.killDaemon();
  else await house.killVmm(vm);
  const outcome = await work;
  vm = await house.viv.get('soak');
  const { state } = await vm.refresh();
  const sight = await againBusy();
  const lost = sight.life !== life;
  say(`  ${where}: ${whom} killed (${outcome ?? 'too late'}), then ${state}${lost ? ', and booted' : ''}`);
  if (whom === 'daemon' && lost) found(where, ['a killed daemon has cost the VM its memory']);
  memory.judge(where, sight);
  found(where, await lines.end({ expected: true }));
  lines = new NumberedLines(vm);
  await filesOf(where, vm);
}

/** A VMM's end is seen a moment later, and what was under way when a daemon was killed is still being finished. */
async function againBusy(): Promise<Sight> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      if ((await vm.refresh()).state !== 'Running') await vm.start();
      return await untilBusy(vm);
    } catch (error) {
      const passes = isVivError(
        error,
        'invalid_state',
        'busy',
        'agent_unreachable',
        'cancelled',
        'vmm_failed',
      );
      if (!passes || Date.now() > deadline) throw error;
      await delay(100);
    }
  }
}
