/*
 * A preview of a web page: a server in a VM with a port of this machine, which is a free one where none is asked for. Whoever shows the
 * link waits until the page answers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { viv } from 'vivarium';

await using vm = await viv.run('busybox', {
  name: 'preview',
  ports: [{ guestPort: 80 }],
  tags: { kind: 'preview' },
});
await vm.files.writeFile('/srv/index.html', '<h1>It works</h1>\n');
await vm.exec(['httpd', '-p', '80', '-h', '/srv']).orThrow();

const [port] = (await vm.refresh()).ports;
if (port === undefined) throw new Error('no port was published');
const page = `http://${port.hostAddress}:${port.hostPort}/`;

async function healthy(url: string): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetch(url, { signal: AbortSignal.timeout(2000) });
    } catch (error) {
      if (attempt === 50) throw error;
      await sleep(100);
    }
  }
}

const answer = await healthy(page);
console.log(page, answer.status, (await answer.text()).trim());

/* prints:
http://127.0.0.1:…/ 200 <h1>It works</h1>
*/
