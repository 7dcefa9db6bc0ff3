import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { median, quantile } from './stats.ts';

const file = path.resolve(import.meta.dirname, '../docs/start-latency.svg');
const [width, left, right, top, step] = [760, 150, 30, 64, 34];
const most = 5000;

/** Draws the milliseconds of each kind of start over a scale of powers of ten, where `VIV_BENCH_PLOT` is set. */
export async function drawStarts({
  starts,
}: {
  starts: ReadonlyMap<string, readonly number[]>;
}): Promise<void> {
  if (process.env.VIV_BENCH_PLOT === undefined) return;
  const kinds = [...starts].sort(([, a], [, b]) => median(b) - median(a));
  await writeFile(file, svg(kinds));
}

export function svg(kinds: readonly (readonly [string, readonly number[]])[]): string {
  const height = top + kinds.length * step + 40;
  const bottom = height - 40;
  const ticks = [1, 3, 10, 30, 100, 300, 1000, 3000];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Milliseconds to the first output, by kind of start">
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; }
  .quiet { fill: #59636e; font-size: 11px; }
  .grid { stroke: #8c959f; stroke-opacity: .35; }
  .bar { fill: #2f81c7; }
  .dot { fill: #1f2328; fill-opacity: .45; }
  .ground { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text, .dot { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .ground { fill: #0d1117; }
    .bar { fill: #58a6ff; }
  }
</style>
<rect class="ground" width="${width}" height="${height}" rx="8"/>
<text class="title" x="20" y="28">From the call to the first output of a command</text>
<text class="quiet" x="20" y="46">256 MB, software emulation (TCG); bars are medians, dots single starts; the scale is logarithmic</text>
${ticks.map((tick) => gridLine(tick, bottom)).join('\n')}
${kinds.map(([kind, times], index) => row(kind, times, top + index * step)).join('\n')}
</svg>
`;
}

function gridLine(milliseconds: number, bottom: number): string {
  const at = x(milliseconds);
  const text = milliseconds < 1000 ? `${milliseconds} ms` : `${milliseconds / 1000} s`;
  return `<line class="grid" x1="${at}" x2="${at}" y1="${top - 4}" y2="${bottom}"/><text class="quiet" x="${at}" y="${bottom + 16}" text-anchor="middle">${text}</text>`;
}

function row(kind: string, times: readonly number[], y: number): string {
  const [middle, low, high] = [median(times), quantile(times, 0), quantile(times, 1)];
  const dots = times.map(
    (time, index) => `<circle class="dot" cx="${x(time)}" cy="${y + 6 + ((index * 7) % 13)}" r="2"/>`,
  );
  const label = middle < 10 ? middle.toFixed(1) : Math.round(middle);
  return `<g><title>${kind}: ${Math.round(low)} to ${Math.round(high)} ms in ${times.length}</title>
<text x="${left - 10}" y="${y + 17}" text-anchor="end">${kind}</text>
<rect class="bar" x="${left}" y="${y + 3}" width="${(x(middle) - left).toFixed(1)}" height="20" rx="3"/>
${dots.join('')}
<text x="${Math.max(x(middle), x(high)) + 8}" y="${y + 17}">${label} ms</text></g>`;
}

/** Places 1 ms at the left edge. */
function x(milliseconds: number): number {
  const part = Math.log10(Math.min(Math.max(milliseconds, 1), most)) / Math.log10(most);
  return Number((left + part * (width - left - right - 60)).toFixed(1));
}
