import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { FrameGate } from '../../../server/api/frame-gate.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A connection whose client reads as many of the bytes as it is told. */
class Connection extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;

  send(content: string): void {
    this.bufferedAmount += Buffer.byteLength(content) + 4;
  }

  close(): void {}

  terminate(): void {
    this.readyState = 3;
  }

  read(bytes: number): void {
    this.bufferedAmount -= bytes;
  }
}

function gateOver(): { gate: FrameGate; connection: Connection } {
  const connection = new Connection();
  return { connection, gate: new FrameGate(connection as unknown as WebSocket) };
}

it('ends a connection whose client has read nothing for half a minute, however little waits for it', () => {
  const { gate, connection } = gateOver();
  gate.send('a');
  vi.advanceTimersByTime(29_000);
  expect(connection.readyState).toBe(1);
  gate.send('more of what is not read');
  vi.advanceTimersByTime(2000);
  expect(connection.readyState).toBe(3);
});

it('keeps one whose client reads slowly, and one that has read all', () => {
  const { gate, connection } = gateOver();
  gate.send('x'.repeat(1000));
  for (let turn = 0; turn < 10; turn++) {
    vi.advanceTimersByTime(20_000);
    connection.read(100);
  }
  expect(connection.readyState).toBe(1);
  connection.read(connection.bufferedAmount);
  vi.advanceTimersByTime(600_000);
  expect(connection.readyState).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

it('ends a connection at once when 32 MiB wait', () => {
  const { gate, connection } = gateOver();
  for (let sent = 0; sent < 4; sent++) gate.send('x'.repeat(8 << 20));
  expect(connection.readyState).toBe(1);
  gate.send('x');
  expect(connection.readyState).toBe(3);
});
