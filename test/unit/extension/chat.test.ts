import { describe, expect, it } from 'vitest';
import { chatSampling, chatTurns } from '../../../extension/chat/chat-messages.ts';
import { chatModel, offeredModel } from '../../../extension/chat/offered-model.ts';
import type { ModelStatus } from '../../../server/protocol/model.ts';

const text = (value: string) => ({ value });

describe('messages of VS Code', () => {
  it('become turns: parts joined, empty messages left out', () => {
    const turns = chatTurns([
      { role: 3, content: [text('Be brief.')] },
      {
        role: 1,
        content: [text('one '), { mimeType: 'cache_control', data: new Uint8Array() }, text('two')],
      },
      { role: 2, content: [] },
      { role: 2, content: [text('three')] },
    ]);
    expect(turns).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one two' },
      { role: 'assistant', content: 'three' },
    ]);
  });

  it.each([
    ['an image', { mimeType: 'image/png', data: new Uint8Array(4) }],
    ['a tool call', { callId: '1', name: 'read', input: {} }],
    ['a tool’s result', { callId: '1', content: [text('x')] }],
    ['anything else', 'x'],
  ])('with %s are refused rather than answered without it', (_, part) => {
    expect(() => chatTurns([{ role: 1, content: [text('look'), part] }])).toThrow(/text only/);
  });

  it('without any text are refused', () => {
    expect(() => chatTurns([{ role: 1, content: [text('')] }])).toThrow(/no text/);
  });

  it('bring options by the names of OpenAI; what is of another type is no option', () => {
    const all = { temperature: 0, top_p: 0.5, seed: 3, max_tokens: 9, stop: 'x', other: {} };
    expect(chatSampling(all)).toEqual({ temperature: 0, topP: 0.5, seed: 3, maxTokens: 9, stop: ['x'] });
    expect(chatSampling({ temperature: '0', stop: [1] })).not.toHaveProperty('stop');
    expect(chatSampling({ temperature: '0' }).temperature).toBeUndefined();
  });
});

describe('the model that is offered', () => {
  const model = {
    ...{ id: '/m', name: 'm', path: '/m', kind: 'onebit' as const },
    ...{ parameters: 1, bytes: 1, infill: false, chat: true },
  };
  const memory = { contextLength: 2048 } as ModelStatus['memory'];
  const status = (state: ModelStatus['state'], more: Partial<ModelStatus> = {}): ModelStatus => ({
    ...{ state, model, active: 0, queued: 0 },
    ...more,
  });
  const known = { id: '/m', name: 'm', path: '/m', contextLength: 2048 };

  it('is the one in use, once its context is known', () => {
    expect(chatModel(status('loading'), undefined)).toBeUndefined();
    expect(chatModel(status('ready', { memory }), undefined)).toEqual(known);
    expect(chatModel(status('unloaded'), known)).toEqual(known);
    expect(chatModel(status('loading'), { ...known, id: '/other' })).toBeUndefined();
  });

  it('is none without a chat template, and none that could not be loaded', () => {
    expect(chatModel(status('ready', { memory, model: { ...model, chat: false } }), known)).toBeUndefined();
    expect(chatModel(status('failed'), known)).toBeUndefined();
  });

  it('stays while no server runs', () => {
    expect(chatModel(undefined, known)).toEqual(known);
    expect(chatModel(status('none', { model: undefined }), known)).toEqual(known);
  });

  it('says how much it takes and answers, within its context', () => {
    for (const contextLength of [16, 2048, 131_072]) {
      const { maxInputTokens, maxOutputTokens } = offeredModel({ ...known, contextLength });
      expect(maxInputTokens + maxOutputTokens).toBe(contextLength);
      expect(maxOutputTokens).toBeGreaterThan(0);
      expect(maxInputTokens).toBeGreaterThan(maxOutputTokens);
    }
  });
});
