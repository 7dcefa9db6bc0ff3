import type { ExecConnection, ExecExit, ExecOffsets, ExecOptions, ExecOutput } from './exec.ts';
import type { AskOptions } from './progress.ts';

/** A command in a guest, as the guest knows it: it outlives whoever started it. */
export interface SessionInfo {
  id: string;
  argv: string[];
  /** The engine's own: the image's command, or a health check. Absent: somebody has started it. */
  purpose?: 'workload' | 'health_check';
  /** `vm`: beside the workloads, in the agent's own root. */
  target: string;
  running: boolean;
  exit?: ExecExit;
  /** In the guest. */
  pid: number;
  tty: boolean;
  /** It was started in the machine of which this is a copy, by somebody who is not here. */
  orphaned: boolean;
  /** Offsets, in bytes since its start, between which each output is held: at least the last mebibyte. */
  stdout: { from: number; to: number };
  stderr: { from: number; to: number };
}

/** A piece of what a session printed. */
export interface SessionOutput extends ExecOutput {
  /** Of its first byte. A jump means that what was between is no longer held. */
  offset: number;
}

/** The commands of one VM: started by anybody, running or ended. */
export interface VmSessions {
  /**
   * In the order of their start. A finished one is kept until it is closed, or one of more than 64. `all`: health checks that
   * are being made, too. Default false.
   */
  list(options?: AskOptions & { all?: boolean }): Promise<SessionInfo[]>;
  /** By id or its beginning. @throws VivError `not_found`, `ambiguous`. */
  get(id: string, options?: AskOptions): Promise<SessionInfo>;
  /** Starts a command that nobody waits for. Its oldest output is given up where that is not read. */
  start(
    argv: readonly string[],
    options?: Pick<ExecOptions, 'env' | 'cwd' | 'user' | 'tty' | 'target' | 'signal'> & {
      stdin?: boolean;
    },
  ): Promise<SessionInfo>;
  /**
   * Joins it, from these offsets (default: the oldest byte held), and takes it over from whoever is attached. Closing leaves the
   * command alone. @throws VivError `conflict` where those bytes are no longer held.
   */
  attach(
    id: string,
    options?: { from?: Partial<ExecOffsets>; signal?: AbortSignal },
  ): Promise<ExecConnection>;
  /**
   * What it printed, as far as that is held, whoever is attached. `follow`: and goes on until both outputs have ended.
   */
  output(
    id: string,
    options?: { from?: { stdout?: number; stderr?: number }; follow?: boolean; signal?: AbortSignal },
  ): AsyncIterable<SessionOutput>;
  /** To its process group: `SIGINT`, …. @throws VivError `conflict` where it has ended. */
  signal(id: string, name: string, options?: AskOptions): Promise<void>;
  /** Kills what still runs of it, and forgets it. */
  kill(id: string, options?: AskOptions): Promise<void>;
}
