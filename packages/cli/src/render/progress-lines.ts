import { formatSize, type Progress } from '@vivarium/model';
import { printable } from './style.ts';
import { truncate } from './table.ts';

interface Layer {
  received: number;
  total: number | undefined;
  state: 'downloading' | 'downloaded' | 'converting' | 'ready';
}

/** 12 hexadecimal digits are enough to tell layers apart. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}

/** The layers of one pull, as far as they have been heard of. */
export class LayerBoard {
  readonly #layers = new Map<string, Layer>();

  take(progress: Progress): void {
    if (progress.stage === 'layer') {
      const { digest, receivedBytes, totalBytes, done } = progress;
      this.#layers.set(digest, {
        received: receivedBytes,
        total: totalBytes,
        state: done ? 'downloaded' : 'downloading',
      });
    } else if (progress.stage === 'converting') {
      const layer = this.#layers.get(progress.digest) ?? {
        received: 0,
        total: undefined,
        state: 'downloaded',
      };
      layer.state = progress.done ? 'ready' : 'converting';
      this.#layers.set(progress.digest, layer);
    } else if (progress.stage === 'image-ready') {
      this.#layers.clear();
    }
  }

  /** One line per layer, at most `limit`: those under way first, and a line that counts the others. */
  lines(width: number, limit: number): string[] {
    const entries = [...this.#layers];
    const active = entries.filter(([, { state }]) => state === 'downloading' || state === 'converting');
    const shown = (entries.length <= limit ? entries : active).slice(
      0,
      entries.length <= limit ? limit : limit - 1,
    );
    const lines = shown.map(([digest, layer]) =>
      truncate(`  ${shortDigest(digest)}  ${describe(layer)}`, width),
    );
    if (entries.length > shown.length) {
      const ready = entries.length - active.length;
      lines.push(truncate(`  ${ready} of ${entries.length} layers are here`, width));
    }
    return lines;
  }
}

const barWidth = 20;

function describe({ received, total, state }: Layer): string {
  if (state !== 'downloading') return state;
  if (total === undefined || total === 0) return `${formatSize(received)}`;
  const filled = Math.min(barWidth, Math.floor((received / total) * barWidth));
  return `[${'='.repeat(filled)}${' '.repeat(barWidth - filled)}] ${formatSize(received)} / ${formatSize(total)}`;
}

/** What is going on, in a few words; undefined where the layers say it. */
export function statusOf(progress: Progress): string | undefined {
  switch (progress.stage) {
    case 'resolving':
      return `resolving ${printable(progress.reference)}`;
    case 'layer':
      return 'downloading layers';
    case 'converting':
      return 'converting layers to disks';
    case 'image-ready':
      return 'image is ready';
    case 'creating':
      return `creating ${printable(progress.name)}`;
    case 'launching':
      return progress.accelerator === undefined ? 'launching' : `launching (${progress.accelerator})`;
    case 'booting':
      return 'booting';
    case 'restoring':
      return progress.from === 'saved' ? 'bringing its memory back' : 'starting from booted memory';
    case 'saving':
      return 'saving the memory';
    case 'saved':
      return `saved; it stood still for ${Math.round(progress.pauseMilliseconds)} ms`;
    case 'copying':
      return `copying to ${printable(progress.name)}`;
    case 'unpacking':
      return `unpacking (${formatSize(progress.unpackedBytes)} of ${formatSize(progress.receivedBytes)} received)`;
    case 'configuring':
      return 'configuring the guest';
    case 'running':
      return `running after ${progress.milliseconds} ms`;
    case 'stopping':
      return `stopping: ${printable(progress.step)}`;
    case 'stopped':
      return progress.exit === undefined ? 'stopped' : `stopped: ${printable(progress.exit.message)}`;
  }
}

/** The sparse lines of a log: a pull's beginning, each finished layer, its end. A start says nothing. */
export class PlainLog {
  #reference = 'image';
  #pulling = false;
  readonly #finished = new Set<string>();

  take(progress: Progress): string[] {
    if (progress.stage === 'resolving') this.#reference = printable(progress.reference);
    if (progress.stage === 'layer') return [...this.#begin(), ...this.#layer(progress)];
    if (progress.stage === 'image-ready' && this.#pulling) {
      this.#pulling = false;
      return [`image ${progress.digest} is ready`];
    }
    return [];
  }

  #begin(): string[] {
    if (this.#pulling) return [];
    this.#pulling = true;
    return [`pulling ${this.#reference}`];
  }

  #layer({ digest, done, receivedBytes, totalBytes }: Progress & { stage: 'layer' }): string[] {
    if (!done || this.#finished.has(digest)) return [];
    this.#finished.add(digest);
    return [`layer ${shortDigest(digest)} downloaded (${formatSize(totalBytes ?? receivedBytes)})`];
  }
}
