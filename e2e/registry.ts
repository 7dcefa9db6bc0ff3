import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { run } from '../packages/engine/src/setup/command.ts';

/** A registry for one test: Debian's docker-registry on a free port of 127.0.0.1, its storage in a temporary directory. */
export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:<port>`, to be put before a repository's name. */
  readonly host: string;
  /** Uploads an OCI archive as `<repository>:<tag>`; answers the reference to pull it by. */
  push(archive: string, repository: string): Promise<string>;
  /** Ends the registry, keeps its storage and port: a registry that is down. */
  stop(): Promise<void>;
}

const configuration = (storage: string, port: number): string =>
  JSON.stringify({
    version: '0.1',
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}` },
  });

/** @param port 0: any free one. */
export async function startRegistry(port = 0): Promise<Registry> {
  const dir = await mkdtemp(path.join(tmpdir(), 'registry-'));
  const file = path.join(dir, 'config.yml');
  await writeFile(file, configuration(path.join(dir, 'storage'), port));
  const child = spawn('docker-registry', ['serve', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  const lines = createInterface(child.stderr);
  const said: string[] = [];
  const host = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`docker-registry ended with ${code}: ${said.join('\n')}`)));
    // It goes on reading after that: a full pipe would stop the registry.
    lines.on('line', (line) => {
      said.push(line);
      const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  };
  return {
    host,
    stop,
    async push(archive, repository) {
      const reference = `${host}/${repository}`;
      const scratch = path.join(dir, 'push');
      const argv = ['skopeo', '--insecure-policy', '--tmpdir', scratch, 'copy', '--dest-tls-verify=false'];
      await run(['mkdir', '-p', scratch]);
      await run([...argv, `oci-archive:${archive}`, `docker://${reference}`]);
      return reference;
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
