import { type SessionInfo, VivError, type VmSessions } from '@vivarium/model';
import { fakeConnection } from './fake-connection.ts';
import type { FakeVivarium } from './fake-vivarium.ts';

/** Commands that were started and left: each has printed what it was called with. */
export function fakeSessions(home: FakeVivarium, vm: { id: string; name: string }): VmSessions {
  const own = home.sessions.get(vm.id) ?? [];
  home.sessions.set(vm.id, own);
  const get = async (id: string): Promise<SessionInfo> => {
    const found = own.find((session) => session.id.startsWith(id));
    if (found === undefined) throw new VivError('not_found', `${vm.name} has no session ${id}`);
    return found;
  };
  return {
    list: async () => own,
    get,
    async start(argv, options = {}) {
      const session: SessionInfo = {
        id: `exec-${own.length + 1}`,
        argv: [...argv],
        target: options.target ?? 'root',
        running: true,
        pid: 100 + own.length,
        tty: options.tty !== undefined,
        orphaned: false,
        stdout: { from: 0, to: argv.join(' ').length + 1 },
        stderr: { from: 0, to: 0 },
      };
      own.push(session);
      return session;
    },
    async attach(id) {
      const { argv } = await get(id);
      return fakeConnection(argv, async () => 0, vm.name);
    },
    async *output(id, { from } = {}) {
      const { argv } = await get(id);
      const offset = from?.stdout ?? 0;
      yield { stream: 'stdout', offset, data: Buffer.from(`${argv.join(' ')}\n`).subarray(offset) };
    },
    signal: async (id, name) => void home.calls.push(`signal ${(await get(id)).id} ${name}`),
    async kill(id) {
      const session = await get(id);
      own.splice(own.indexOf(session), 1);
    },
  };
}
