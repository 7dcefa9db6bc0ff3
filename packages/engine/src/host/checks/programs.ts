import type { HostCheck } from '../doctor.ts';
import { findProgram, findQemu } from '../qemu.ts';

/** The oldest Node that runs the sources as they are. */
const oldestNode = 24;

export function checkNode(version = process.versions.node): HostCheck {
  const name = 'node';
  if (Number.parseInt(version, 10) >= oldestNode) return { name, status: 'ok', message: `Node ${version}` };
  return {
    name,
    status: 'failed',
    message: `Node ${version} is too old`,
    hint: `Node ${oldestNode} or newer is needed; \`./viv setup\` in a checkout brings its own.`,
  };
}

/** A missing or old QEMU is thrown as `vmm_missing` with its hint. */
export async function checkQemu(qemuPath?: string): Promise<HostCheck> {
  const qemu = await findQemu(qemuPath);
  return {
    name: 'qemu',
    status: 'ok',
    message: `QEMU ${qemu.version} at ${qemu.path}, machine ${qemu.machine}`,
  };
}

/** Programs that images and disks are made with, and the Debian packages they come in. */
const tools = [
  { program: 'qemu-img', package: 'qemu-utils', for: 'disks are made with it' },
  { program: 'tar2sqfs', package: 'squashfs-tools-ng', for: 'image layers are made with it' },
  { program: 'mkfs.ext4', package: 'e2fsprogs', for: 'root file systems are made with it' },
] as const;

export const toolChecks = tools.map((tool): [string, () => Promise<HostCheck>] => [
  tool.program,
  () => checkTool(tool),
]);

async function checkTool(tool: (typeof tools)[number]): Promise<HostCheck> {
  const name = tool.program;
  const file = await findProgram(tool.program);
  if (file) return { name, status: 'ok', message: file };
  return {
    name,
    status: 'failed',
    message: `${tool.program} is not installed; ${tool.for}`,
    hint: `\`apt-get install ${tool.package}\``,
  };
}
