import type { ServerMemory } from '../protocol/methods.ts';
import { atMostEvery } from './at-most-every.ts';

/** Milliseconds between two looks at the process's memory, and between two at a model that changes. */
const processMs = 2000;
const modelMs = 500;
/** A change of the process's memory below this share is not worth a message. */
const noticeable = 0.01;

/**
 * Tells those who watch the memory when it has changed. Looks only while somebody watches, so that an
 * idle server stays idle.
 */
export class MemoryWatch {
  private timer: NodeJS.Timeout | undefined;
  private last: ServerMemory | undefined;
  private readonly soon = atMostEvery(modelMs, () => this.look());

  constructor(
    private readonly read: () => ServerMemory,
    private readonly watched: () => boolean,
    private readonly tell: (memory: ServerMemory) => void,
  ) {}

  /** Somebody has begun to watch: whatever was told before, tell it now. */
  begin(): void {
    this.last = undefined;
    this.wake();
  }

  /** The model has changed. */
  wake(): void {
    if (!this.watched()) return;
    this.timer ??= setInterval(() => this.look(), processMs).unref();
    this.soon.call();
  }

  dispose(): void {
    this.soon.dispose();
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private look(): void {
    if (!this.watched()) return this.dispose();
    const memory = this.read();
    if (this.last !== undefined && !differs(this.last, memory)) return;
    this.last = memory;
    this.tell(memory);
  }
}

function differs(a: ServerMemory, b: ServerMemory): boolean {
  const rss = Math.abs(a.process.rssBytes - b.process.rssBytes);
  return rss > noticeable * a.process.rssBytes || JSON.stringify(a.model) !== JSON.stringify(b.model);
}
