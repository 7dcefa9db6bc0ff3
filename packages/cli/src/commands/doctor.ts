import type { DoctorReport } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import type { Context } from '../context.ts';
import { printable, type Style } from '../render/style.ts';

const marks = {
  ok: ['green', 'ok     '],
  warning: ['yellow', 'warning'],
  failed: ['red', 'failed '],
} as const;

export const command = defineCommand<{ rebuild?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser
      .option('--rebuild', "restore a lost database from the records beside the VMs' disks")
      .option('--json', 'print JSON');
  },
  notes: ['The exit status is 1 where a check failed.'],
  examples: [['viv doctor', 'why does it not work, or why is it slow']],
  async run(context, _args, flags) {
    // A daemon that can't start over a damaged database is started anew with this, and rebuilds it first.
    if (flags.rebuild) process.env.VIV_REBUILD = '1';
    const report = await (await context.vivarium()).doctor(flags.rebuild ? { rebuild: true } : {});
    await (flags.json ? context.printJson(report) : show(context, report));
    return report.ok ? 0 : 1;
  },
});

function render(check: DoctorReport['checks'][number], style: Style, width: number): string {
  const [colour, mark] = marks[check.status];
  const line = `${style(colour, mark)}  ${check.name.padEnd(width)}  ${printable(check.message)}\n`;
  return check.hint === undefined
    ? line
    : `${line}${' '.repeat(mark.length + 2)}${style('dim', `hint: ${printable(check.hint)}`)}\n`;
}

async function show(context: Context, { checks }: DoctorReport): Promise<void> {
  const width = Math.max(0, ...checks.map(({ name }) => name.length));
  await context.print(checks.map((check) => render(check, context.style, width)).join(''));
}
