// A program: PATH ROUNDS OURS FLOOR. Gets the path from both sockets in turn with Node's own client, and prints the times.
import http from 'node:http';
import { interleaved, timed } from '../stats.ts';

const [path, rounds, ours = '', floor = ''] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

function get(socketPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  http
    .get({ socketPath, path, agent }, (response) => {
      response.resume();
      response.once('end', resolve);
    })
    .once('error', reject);
  return promise;
}

const times = await interleaved(
  Number(rounds),
  () => timed(() => get(ours)),
  () => timed(() => get(floor)),
);
agent.destroy();
process.stdout.write(JSON.stringify(times));
