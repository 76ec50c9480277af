import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readChatTemplate } from '../../../server/tokenizer/chat-template.ts';
import { finish } from '../../../server/tokenizer/in-slices.ts';
import { loadTokenizer } from '../../../server/tokenizer/load-tokenizer.ts';
import { decodeWithSpecial, encodingWithSpecial } from '../../../server/tokenizer/special-names.ts';
import { byteTokens, writeByteTokenizer } from '../../reference/byte-tokenizer.ts';
import { sharedPath } from '../../reference/shared-path.ts';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'onebit-template-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const config = (value: object): void =>
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(value));
const chatml =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const conversation = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hi {{ 1 }}' },
];

describe('readChatTemplate', () => {
  it('renders ChatML as it is known', async () => {
    config({ chat_template: chatml });
    const template = await readChatTemplate(folder);
    expect(template?.render(conversation, true)).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi {{ 1 }}<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(template?.render(conversation.slice(1), false)).toBe('<|im_start|>user\nHi {{ 1 }}<|im_end|>\n');
    expect(template?.source).toBe(chatml);
  });

  it('takes chat_template.jinja first, of several templates the default one, and the names of BOS and EOS', async () => {
    config({
      bos_token: { content: '<s>' },
      eos_token: '</s>',
      chat_template: [
        { name: 'tool_use', template: 'no' },
        { name: 'default', template: '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}' },
      ],
    });
    expect((await readChatTemplate(folder))?.render([{ role: 'user', content: 'a' }], true)).toBe('<s>a</s>');
    writeFileSync(join(folder, 'chat_template.jinja'), 'own {{ messages | length }}');
    expect((await readChatTemplate(folder))?.render(conversation, true)).toBe('own 2');
  });

  it('says why a template refuses a conversation, or cannot be parsed', async () => {
    expect(await readChatTemplate(folder)).toBeUndefined();
    config({ chat_template: "{{ raise_exception('Roles must alternate.') }}" });
    const refusing = await readChatTemplate(folder);
    expect(() => refusing?.render(conversation, true)).toThrow(
      expect.objectContaining({
        code: 'bad-request',
        message: expect.stringContaining('Roles must alternate.'),
      }),
    );
    config({ chat_template: '{% for %}' });
    const broken = await readChatTemplate(folder);
    expect(() => broken?.render(conversation, true)).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
  });
});

describe('encodingWithSpecial', () => {
  it('takes names for tokens, everything else for text, and decodes to the same', async () => {
    writeByteTokenizer(folder);
    const tokenizer = await loadTokenizer(folder);
    const text = 'a<|fim_prefix|><|fim_middle|>é<|fim_suffix';
    const ids = finish(encodingWithSpecial(tokenizer, text));
    expect(ids).toEqual([97, byteTokens.prefix, byteTokens.middle, ...Buffer.from('é<|fim_suffix')]);
    expect(decodeWithSpecial(tokenizer, ids)).toBe(text);
    expect(decodeWithSpecial(tokenizer, [])).toBe('');
  });

  it('round trips with a SentencePiece model, whose control tokens have names as well', async (context) => {
    const tokenizer = await loadTokenizer(sharedPath(context, 'models', 'llama2-tokenizer'));
    const text = '<s>[INST] Hallo </s>Wörld';
    const ids = finish(encodingWithSpecial(tokenizer, text));
    expect(ids.filter((id) => id < 3)).toEqual([1, 2]);
    expect(decodeWithSpecial(tokenizer, ids)).toBe(text);
  });
});
