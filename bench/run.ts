import { cpus } from 'node:os';
import type { Figure, Measured } from './figure.ts';

const figures: Record<string, () => Promise<Figure>> = {
  'cold-start': async () => (await import('./figures/cold-start.ts')).coldStart,
  agent: async () => (await import('./figures/agent.ts')).agent,
  doors: async () => (await import('./figures/doors.ts')).doors,
  restore: async () => (await import('./figures/restore.ts')).restore,
  events: async () => (await import('./figures/events.ts')).events,
  http: async () => (await import('./figures/http.ts')).http,
  thousands: async () => (await import('./figures/thousands.ts')).thousands,
  pauses: async () => (await import('./figures/restore.ts')).pauses,
  ratios: async () => (await import('./figures/restore.ts')).ratios,
};
/** Measures nothing that another one does not. */
const onlyWhenAsked = ['pauses', 'ratios'];

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => figures[name] === undefined);
if (unknown.length > 0) {
  console.error(`No figure is called ${unknown.join(', ')}. There are: ${Object.keys(figures).join(', ')}`);
  process.exit(2);
}

const promised = Object.keys(figures).filter((name) => !onlyWhenAsked.includes(name));
const rows: Measured[] = [];
for (const name of asked.length > 0 ? asked : promised) {
  const figure = await figures[name]?.();
  process.stderr.write(`${name} …\n`);
  rows.push(...((await figure?.run()) ?? []));
}
console.log(
  `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, Node ${process.version}; medians, floors of the same run\n`,
);
console.log('| what | ours | floor | promise | kept |');
console.log('|---|---|---|---|---|');
for (const row of rows) {
  console.log(
    `| ${row.what} | ${row.ours} | ${row.floor} | ${row.promise} | ${row.kept ? 'yes' : '**no**'} |`,
  );
}
process.exitCode = rows.every(({ kept }) => kept) ? 0 : 1;
