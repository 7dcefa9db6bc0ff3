import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { bootId } from './identity.ts';
import type { QemuInfo } from './qemu.ts';

/** What runs a guest's vCPUs on this host, and how that is known. */
export interface AcceleratorVerdict {
  accelerator: 'kvm' | 'tcg';
  /** One sentence for people. */
  reason: string;
}

export interface ProbeOptions {
  qemu: QemuInfo;
  /** The `vmlinux` to try with. */
  kernel: string;
  /** Verdicts are kept here, by boot of the host, QEMU and kernel. */
  cacheDir: string;
  /** Default `/dev/kvm`. */
  device?: string;
  /** How long the guest may take to its first word. Default 3 s; with working KVM it takes a fraction of one. */
  silenceMs?: number;
  /** And how long to the sign of life. Default 10 s. */
  deadlineMs?: number;
}

/**
 * What the kernel says after its own start and before it looks for a root, of which the probe has none. Its banner alone is
 * not enough: a broken KVM can get as far as that.
 */
const signOfLife = /Kernel panic - not syncing: (VFS|No working init)|Run \/init as init process/;

/**
 * Proves KVM by booting a guest with it. That the device opens and creates VMs says nothing: there are hosts where it does
 * and no Linux ever gets anywhere (FINDINGS; seen with nested paravirtualisation).
 */
export async function probeAccelerator(options: ProbeOptions): Promise<AcceleratorVerdict> {
  const device = options.device ?? '/dev/kvm';
  const unusable = await whyUnusable(device);
  if (unusable) return { accelerator: 'tcg', reason: unusable };
  const file = path.join(options.cacheDir, `accelerator-${await cacheKey(options, device)}.json`);
  const cached = await readVerdict(file);
  if (cached) return cached;
  const verdict = await bootUnderKvm(options);
  await mkdir(options.cacheDir, { recursive: true });
  await writeFile(`${file}.${process.pid}`, JSON.stringify(verdict));
  await rename(`${file}.${process.pid}`, file);
  return verdict;
}

/** Permissions can change at any time, so they are looked at each time and never cached. */
async function whyUnusable(device: string): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return `This host has no ${device}: VMs run under software emulation`;
    if (code === 'EACCES')
      return `${device} may not be opened by this user: VMs run under software emulation`;
    throw error;
  }
}

async function cacheKey({ qemu, kernel }: ProbeOptions, device: string): Promise<string> {
  const facts = [await bootId(), qemu.path, qemu.version, qemu.machine, kernel, device];
  return createHash('sha256').update(facts.join('\n')).digest('hex').slice(0, 24);
}

async function readVerdict(file: string): Promise<AcceleratorVerdict | undefined> {
  try {
    const verdict = JSON.parse(await readFile(file, 'utf8')) as AcceleratorVerdict;
    return ['kvm', 'tcg'].includes(verdict.accelerator) ? verdict : undefined;
  } catch (error) {
    // Absent, or cut short by a crash: then it is found out again.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function bootUnderKvm(options: ProbeOptions): Promise<AcceleratorVerdict> {
  const { silenceMs = 3_000, deadlineMs = 10_000 } = options;
  const { qemu, kernel } = options;
  const child = spawn(
    qemu.path,
    [
      ...[
        '-machine',
        qemu.machine,
        '-accel',
        'kvm',
        '-cpu',
        'host',
        '-m',
        '128M',
        '-nodefaults',
        '-no-user-config',
      ],
      ...['-display', 'none', '-no-reboot', '-serial', 'stdio', '-kernel', kernel],
      ...['-append', 'console=ttyS0 earlyprintk=ttyS0 panic=-1'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let [output, errors] = ['', ''];
  const settled = Promise.withResolvers<AcceleratorVerdict>();
  const fail = (reason: string) => settled.resolve({ accelerator: 'tcg', reason });
  child.stdout.on('data', (chunk) => {
    clearTimeout(silence);
    output = (output + chunk).slice(-65_536);
    if (signOfLife.test(output))
      settled.resolve({ accelerator: 'kvm', reason: 'KVM has booted a guest on this host' });
  });
  child.stderr.on('data', (chunk) => {
    errors = (errors + chunk).slice(-4_096);
  });
  child.once('error', (error) => fail(`KVM was not tried, QEMU did not start: ${error.message}`));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  closed.then(() => fail(`KVM does not work here, QEMU ended: ${errors.trim() || 'it gave no reason'}`));
  const hangs = (ms: number) => () =>
    fail(`KVM is present but hangs guests (no sign of life within ${ms} ms): software emulation is used`);
  const silence = setTimeout(hangs(silenceMs), silenceMs);
  const deadline = setTimeout(hangs(deadlineMs), deadlineMs);
  try {
    return await settled.promise;
  } finally {
    clearTimeout(silence);
    clearTimeout(deadline);
    child.kill('SIGKILL');
    if (child.pid !== undefined) await closed;
  }
}
