import { describe, expect, test } from 'vitest';
import { RequestQueue, type Turn } from '../../../server/engine/request-queue.ts';

const item = (name: string, turn?: Turn) => ({ name, request: { turn } });
const bulk = (client: string): Turn => ({ priority: 'bulk', client });
const editor: Turn = { priority: 'editor', client: 'e' };

describe('RequestQueue', () => {
  test('editors go first, whenever they came', () => {
    const queue = new RequestQueue<ReturnType<typeof item>>(8);
    for (const each of [
      item('b1', bulk('x')),
      item('e1', editor),
      item('b2', bulk('y')),
      item('e2', editor),
    ]) {
      queue.push(each);
    }
    const order: string[] = [];
    for (let next = queue.next([], true); next !== undefined; next = queue.next([], true)) {
      order.push(next.name);
      queue.remove(next);
    }
    expect(order).toEqual(['e1', 'e2', 'b1', 'b2']);
  });

  test('a bulk client with fewer running ones goes before another, and none while bulk may not begin', () => {
    const queue = new RequestQueue<ReturnType<typeof item>>(8);
    queue.push(item('x3', bulk('x')));
    queue.push(item('y1', bulk('y')));
    const running = [item('x1', bulk('x')), item('x2', bulk('x'))];
    expect(queue.next(running, true)?.name).toBe('y1');
    expect(
      queue.next([...running, item('y0', bulk('y')), item('y', bulk('y')), item('y', bulk('y'))], true)?.name,
    ).toBe('x3');
    expect(queue.next(running, false)).toBeUndefined();
    queue.push(item('e', editor));
    expect(queue.next(running, false)?.name).toBe('e');
  });

  test('a window that has one running waits for another window', () => {
    const queue = new RequestQueue<ReturnType<typeof item>>(8);
    queue.push(item('e2', editor));
    queue.push(item('f1', { priority: 'editor', client: 'f' }));
    expect(queue.next([item('e1', editor)], true)?.name).toBe('f1');
    expect(queue.next([], true)?.name).toBe('e2');
  });

  test('one client cannot fill the queue for the others, nor bulk clients for editors', () => {
    const queue = new RequestQueue<ReturnType<typeof item>>(4);
    const tryPush = (each: ReturnType<typeof item>): void => {
      queue.check(each);
      queue.push(each);
    };
    tryPush(item('x', bulk('x')));
    tryPush(item('x', bulk('x')));
    expect(() => tryPush(item('x', bulk('x')))).toThrow(/2 of your requests/);
    tryPush(item('y', bulk('y')));
    tryPush(item('z', bulk('z')));
    expect(() => tryPush(item('w', bulk('w')))).toThrow(/4 requests/);
    const window = (client: string): Turn => ({ priority: 'editor', client });
    for (let i = 0; i < 2; i++) tryPush(item('e', window('e')));
    expect(() => tryPush(item('e', window('e')))).toThrow(/2 of your requests/);
    for (let i = 0; i < 2; i++) tryPush(item('f', window('f')));
    expect(() => tryPush(item('g', window('g')))).toThrow(expect.objectContaining({ code: 'busy' }));
  });
});
