import type { Route } from '@vivarium/api';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { document, fuzzed } from './document.ts';
import { openFuzzHouse } from './house.ts';
import { valuesOf } from './values.ts';

type Frame = { text: string } | { bytes: Uint8Array };

/** How long a socket is listened to after its last frame. Milliseconds. */
const listenMs = 40;

function frameOf(name: string): fc.Arbitrary<Frame> {
  return valuesOf(document.components.schemas[name] ?? {}).map((value) => ({
    text: JSON.stringify(value) ?? '',
  }));
}

const noise: fc.Arbitrary<Frame> = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ bytes })),
  fc.string({ unit: 'binary', maxLength: 100 }).map((text) => ({ text })),
  fc.constantFrom('{"type":"end"}', '{"eof":true}', '{', 'null', '[]', '"x"').map((text) => ({ text })),
);

/** What a client may say on a route: mostly a first frame that is nearly right, then anything. */
function framesFor({ name }: Route): fc.Arbitrary<Frame[]> {
  const first = frameOf(name === 'copy' ? 'CopyStart' : 'ExecStart');
  const later = fc.array(fc.oneof(frameOf('ExecControl'), noise), { maxLength: 4 });
  return fc
    .tuple(fc.oneof({ weight: 4, arbitrary: first }, noise), later)
    .map(([start, rest]) => [start, ...rest]);
}

/** Sends what should and should not be sent on every socket; rejects where that shows a defect. */
export async function fuzzSockets({ runs, seed }: { runs: number; seed: number }): Promise<void> {
  await using house = await openFuzzHouse();
  for (const route of fuzzed.filter(({ method }) => method === 'WS')) {
    const path = route.path.replace('{id}', 'host') + (route.name === 'tunnel' ? '?port=80' : '');
    const property = fc.asyncProperty(framesFor(route), async (frames) => {
      const said = await converse(`ws+unix://${house.socket}:${path}`, frames);
      const defect = said.find((text) => text.includes('"code":"internal"'));
      if (defect !== undefined) throw new Error(`${route.name}: ${defect}`);
    });
    await fc.assert(property, { numRuns: runs, seed });
    await house.tidy();
  }
}

function converse(url: string, frames: Frame[]): Promise<string[]> {
  const { promise, resolve } = Promise.withResolvers<string[]>();
  const said: string[] = [];
  const socket = new WebSocket(url);
  socket.on('message', (data: Buffer, binary: boolean) => {
    if (!binary) said.push(String(data));
  });
  socket.on('open', () => {
    for (const frame of frames) socket.send('text' in frame ? frame.text : frame.bytes);
    setTimeout(() => socket.terminate(), listenMs);
  });
  // A refusal before the upgrade is the routes' own part.
  socket.on('error', () => undefined);
  socket.on('close', () => resolve(said));
  return promise;
}
