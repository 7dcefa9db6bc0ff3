import { output, run } from '../../packages/engine/src/setup/command.ts';

/** Documentation and translations are half of a small Debian and no test reads them. */
const excluded = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];

/** The mirror and suite this host takes its own packages from, so that a configured mirror is used for images too. */
async function hostMirror(): Promise<{ mirror: string; suite: string }> {
  const targets = await output([
    'apt-get',
    'indextargets',
    '--format',
    '$(SITE) $(RELEASE) $(COMPONENT)',
    'Created-By: Packages',
  ]);
  const os = await output(['sed', '-n', 's/^VERSION_CODENAME=//p', '/etc/os-release']);
  for (const line of targets.split('\n')) {
    const [mirror, suite, component] = line.split(' ');
    if (mirror && suite === os && component === 'main') return { mirror, suite };
  }
  throw new Error(`apt on this host has no "main" of ${os.trim()} to take packages from: run apt-get update`);
}

/** Proxies and the like that the host's apt is configured with; mmdebstrap starts from none of them. */
async function hostAptOptions(): Promise<string[]> {
  const dump = await output(['apt-config', 'dump', 'Acquire']);
  return dump
    .split('\n')
    .filter((line) => /^Acquire::https?::(Proxy|CAInfo|Verify)/i.test(line))
    .map((line) => `--aptopt=${line}`);
}

/** A Debian (or whatever the host is) userland with these packages and what they need, as a tar file. */
export async function debianUserland(destination: string, packages: readonly string[]): Promise<void> {
  const { mirror, suite } = await hostMirror();
  const argv = [
    'mmdebstrap',
    '--quiet',
    '--variant=minbase',
    '--format=tar',
    ...(await hostAptOptions()),
    ...excluded.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    ...(packages.length > 0 ? [`--include=${packages.join(',')}`] : []),
    suite,
    destination,
    mirror,
  ];
  await run(argv, { env: { SOURCE_DATE_EPOCH: '0', LC_ALL: 'C.UTF-8' } });
}
