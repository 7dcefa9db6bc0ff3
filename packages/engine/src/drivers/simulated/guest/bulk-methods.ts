import { Channel, maxPayloadBytes, type WireStream } from '@vivarium/protocol';
import type { AgentPort } from './agent-port.ts';
import { Refusal } from './file-tree.ts';
import type { Method, MethodCall } from './simulated-guest.ts';
import { packTree, Unpacker } from './tar-copy.ts';

/** The methods of the bulk port, by the names of docs/protocol.md. */
export const bulkMethods: Readonly<Record<string, Method | undefined>> = Object.assign(Object.create(null), {
  ping: () => ({}),
  'copy.in': async ({ system, stream, params }) => {
    const path = params.text('path');
    const tree = system.tree(params.text('target'));
    const into = tree.resolve(path, true);
    tree.expectWritable(path);
    if (into.kind !== 'directory') throw new Refusal('path_not_found', `${path}: not a directory`, 20);
    const owner = params.optionalMap('owner');
    const ids = owner === undefined ? undefined : { uid: owner.uint('uid'), gid: owner.uint('gid') };
    const placed = (name: string, before: boolean) =>
      tree.changed(before ? 'modified' : 'created', `${path === '/' ? '' : path}/${name}`);
    const unpacker = new Unpacker(into, ids, placed);
    Object.assign(stream.handler, {
      data: (_: number, payload: Buffer) =>
        unpacker.write(Buffer.from(payload), () => stream.consumed(Channel.stdin, payload.length)),
      end: () => unpacker.end(),
      reset: () => unpacker.destroy(),
      lost: () => unpacker.destroy(),
    });
    return await unpacker.done;
  },
  'copy.out': async (call) => {
    const path = call.params.text('path');
    const node = call.system.tree(call.params.text('target')).resolve(path, call.params.bool('follow'));
    call.port.respond(call.stream, { kind: node.kind, size: node.data.length });
    const name = path.split('/').filter(Boolean).at(-1) ?? 'root';
    await sendAll(call, packTree(node, name));
    call.stream.end(Channel.stdin);
    call.stream.release();
    return undefined;
  },
  'tcp.connect': ({ port, stream, params }) => {
    if (params.uint('port') > 65_535) throw new Refusal('invalid_request', 'there is no such port');
    params.text('host');
    echo(port, stream);
    return undefined;
  },
} satisfies Record<string, Method>);

async function sendAll({ stream }: MethodCall, source: AsyncIterable<Buffer>): Promise<void> {
  let wake: () => void = () => undefined;
  Object.assign(stream.handler, { credit: () => wake(), reset: () => wake(), lost: () => wake() });
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; ) {
      if (!stream.open) return;
      const size = Math.min(stream.sendable(Channel.stdin), maxPayloadBytes, chunk.length - at);
      if (size > 0) stream.send(Channel.stdin, chunk.subarray(at, at + size));
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      at += size;
    }
  }
}

/** Every guest port answers with what it is sent. */
function echo(port: AgentPort, stream: WireStream): void {
  const waiting: Buffer[] = [];
  let ended = false;
  const pump = () => {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const size = Math.min(stream.sendable(Channel.stdin), first.length);
      if (size === 0) return;
      stream.send(Channel.stdin, first.subarray(0, size));
      stream.consumed(Channel.stdin, size);
      if (size === first.length) waiting.shift();
      else waiting[0] = first.subarray(size);
    }
    if (!ended) return;
    stream.end(Channel.stdin);
    stream.release();
  };
  Object.assign(stream.handler, {
    data: (_: number, payload: Buffer) => {
      waiting.push(Buffer.from(payload));
      pump();
    },
    end: () => {
      ended = true;
      pump();
    },
    credit: pump,
  });
  port.respond(stream, {});
}
