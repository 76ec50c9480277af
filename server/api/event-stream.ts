import type { Response } from 'express';

/** Bytes that may wait for a client that does not read; then it is given up. */
const maxUnread = 1 << 20;
/** Milliseconds that a whole answer may wait for a client that reads nothing of it; then the connection ends. */
export const unreadMs = 30_000;

/** Server-sent events as an answer. The head goes out with the first event, so that errors before it have their status. */
export class EventStream {
  private started = false;

  constructor(private readonly response: Response) {}

  /** Whether the status has been sent. */
  get begun(): boolean {
    return this.started;
  }

  send(event: object): void {
    if (!this.started) {
      this.started = true;
      this.response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    }
    this.response.write(`data: ${JSON.stringify(event)}\n\n`);
    // Its end stops the generation, and gives the memory back.
    if (this.response.writableLength > maxUnread) this.response.destroy();
  }

  /** @param done OpenAI's mark of the end */
  end(done?: '[DONE]'): void {
    this.response.end(done === undefined ? undefined : `data: ${done}\n\n`);
  }
}
