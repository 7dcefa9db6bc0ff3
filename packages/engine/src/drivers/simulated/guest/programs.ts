/** What a scripted program can do. Every call waits while the process is frozen and throws once it was killed. */
export interface ProgramIo {
  readonly argv: readonly string[];
  readonly env: Record<string, string>;
  readonly cwd: string;
  readonly user: string;
  readonly hostname: string;
  /** The next bytes of stdin; undefined at its end. */
  read(): Promise<Buffer | undefined>;
  /** To stdout; waits while nobody reads. */
  out(text: string | Buffer): Promise<void>;
  err(text: string | Buffer): Promise<void>;
  sleep(milliseconds: number): Promise<void>;
}

/** Answers the exit code. */
export type Program = (io: ProgramIo) => Promise<number>;

/** The first argument as seconds; `infinity` and nonsense sleep for ever. */
async function sleep(io: ProgramIo): Promise<number> {
  const seconds = Number(io.argv[1]);
  await io.sleep(Number.isFinite(seconds) ? seconds * 1000 : Number.MAX_SAFE_INTEGER);
  return 0;
}

async function cat(io: ProgramIo): Promise<number> {
  for (let chunk = await io.read(); chunk !== undefined; chunk = await io.read()) await io.out(chunk);
  return 0;
}

async function yes(io: ProgramIo): Promise<never> {
  const block = Buffer.from(`${io.argv[1] ?? 'y'}\n`.repeat(4096));
  for (;;) await io.out(block);
}

/** `seq N`: the numbers from 1 to N, a line each. */
async function seq(io: ProgramIo): Promise<number> {
  const last = Number(io.argv[1]);
  for (let from = 1; from <= last; from += 1000) {
    const count = Math.min(1000, last - from + 1);
    await io.out(Array.from({ length: count }, (_, i) => `${from + i}\n`).join(''));
  }
  return 0;
}

async function wordCount(io: ProgramIo): Promise<number> {
  let bytes = 0;
  for (let chunk = await io.read(); chunk !== undefined; chunk = await io.read()) bytes += chunk.length;
  await io.out(`${bytes}\n`);
  return 0;
}

async function echo(io: ProgramIo): Promise<number> {
  await io.out(`${io.argv.slice(1).join(' ')}\n`);
  return 0;
}

async function env(io: ProgramIo): Promise<number> {
  const lines = Object.entries(io.env).map(([name, value]) => `${name}=${value}\n`);
  await io.out(lines.join(''));
  return 0;
}

const say = (text: (io: ProgramIo) => string): Program => {
  return async (io) => {
    await io.out(`${text(io)}\n`);
    return 0;
  };
};

/**
 * `sh -c 'a; b && c'` over the other programs, with `exit N`, `>&2` and simple quotes; without `-c` it reads commands from
 * stdin, a line each. No variables, no pipes.
 */
async function shell(io: ProgramIo): Promise<number> {
  if (io.argv[1] === '-c') return (await runLine(io, io.argv[2] ?? '')).code;
  let code = 0;
  let rest = '';
  for (let chunk = await io.read(); chunk !== undefined; chunk = await io.read()) {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const result = await runLine(io, line);
      if (result.exit) return result.code;
      code = result.code;
    }
  }
  return rest === '' ? code : (await runLine(io, rest)).code;
}

async function runLine(io: ProgramIo, line: string): Promise<{ code: number; exit: boolean }> {
  let code = 0;
  for (const part of line.split(/(;|&&|\|\|)/).map((text) => text.trim())) {
    if (part === '' || part === ';') continue;
    if ((part === '&&' && code !== 0) || (part === '||' && code === 0)) break;
    if (part === '&&' || part === '||') continue;
    const toStderr = /\s*[12]?>&2$/.exec(part);
    const words = split(toStderr === null ? part : part.slice(0, toStderr.index));
    if (words[0] === 'exit') return { code: Number(words[1] ?? code) & 255, exit: true };
    if (words[0] === 'exec') words.shift();
    const program = builtInPrograms[words[0] ?? ''];
    if (program === undefined) {
      await io.err(`sh: ${words[0]}: not found\n`);
      code = 127;
    } else code = await program({ ...io, argv: words, out: toStderr === null ? io.out : io.err });
  }
  return { code, exit: false };
}

function split(text: string): string[] {
  const words = text.match(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? [];
  return words.map((word) => word.replace(/'([^']*)'|"([^"]*)"/g, (_, single, double) => single ?? double));
}

/** The commands every simulated guest has. A path is looked up by its last component. */
export const builtInPrograms: Readonly<Record<string, Program | undefined>> = Object.assign(
  Object.create(null),
  {
    true: async () => 0,
    ':': async () => 0,
    false: async () => 1,
    sleep,
    cat,
    yes,
    seq,
    wc: wordCount,
    echo,
    env,
    sh: shell,
    pwd: say((io) => io.cwd),
    whoami: say((io) => (io.user === '' || io.user.startsWith('0') ? 'root' : io.user)),
    hostname: say((io) => io.hostname),
    uname: say((io) => `Linux ${io.hostname} 6.1.0-simulated #1 SMP x86_64 GNU/Linux`),
  },
);
