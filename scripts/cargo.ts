import path from 'node:path';
import { findToolchain } from './setup/rust.ts';

/** Cargo on the Rust programs, as set-up runs it. */
export interface Cargo {
  argv: [string];
  cwd: string;
  /** What is different from our own environment. */
  env: { PATH: string; CARGO_TARGET_DIR: string };
}

/** @throws Error where there is no toolchain; set-up leaves one. */
export async function findCargo(root: string): Promise<Cargo> {
  const toolchain = await findToolchain(root);
  if (!toolchain) throw new Error('Set-up left no Rust toolchain');
  return {
    argv: [toolchain.cargo],
    cwd: path.join(root, 'native'),
    env: {
      PATH: `${toolchain.dir}${path.delimiter}${process.env.PATH}`,
      CARGO_TARGET_DIR: path.join(root, '.viv/target'),
    },
  };
}
