import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { z } from 'zod';
import { findGguf, readGgufTokenizer } from '../checkpoint/gguf/gguf-tokenizer.ts';
import { exists, readJson } from '../checkpoint/json-file.ts';
import { asOneBitError, OneBitError } from '../protocol/error.ts';

const maxTemplateBytes = 1 << 20;

export interface ChatMessage {
  role: string;
  content: string;
}

/** How a model wants a conversation written: a Jinja template that belongs to its files. */
export interface ChatTemplate {
  /** The template as it is in the model's files. */
  readonly source: string;
  /**
   * The conversation as one text, special tokens by their names.
   * @param open whether the assistant's turn is begun at the end
   * @throws bad-request where the template refuses the conversation, unsupported where it cannot be parsed
   */
  render(messages: readonly ChatMessage[], open: boolean): string;
}

const named = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const configSchema = z.looseObject({
  bos_token: named,
  eos_token: named,
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});

/**
 * The chat template of a model: chat_template.jinja, or `chat_template` of tokenizer_config.json (of several the
 * one named `default`), or that in a GGUF file's metadata where neither file lies beside it.
 * @param path the model's folder or file
 * @returns undefined where it has none
 * @throws bad-file, unreadable: the message names the file
 */
export async function readChatTemplate(path: string): Promise<ChatTemplate | undefined> {
  const folder = (
    await stat(path).catch((error: unknown) => Promise.reject(asOneBitError(error, path)))
  ).isDirectory()
    ? path
    : dirname(path);
  const own = join(folder, 'chat_template.jinja');
  const hasOwn = await exists(own);
  const besideIt = join(folder, 'tokenizer_config.json');
  const hasConfig = await exists(besideIt);
  const gguf = hasOwn || hasConfig ? undefined : await findGguf(path);
  const json = hasConfig ? await readJson(besideIt) : gguf === undefined ? {} : await ggufConfig(gguf);
  const parsed = configSchema.safeParse(json);
  const config = parsed.success ? parsed.data : {};
  const file = hasOwn ? own : (gguf ?? besideIt);
  const source = hasOwn ? await readText(own) : chosen(config.chat_template);
  if (source === undefined) return undefined;
  const tokens = { bos_token: nameOf(config.bos_token), eos_token: nameOf(config.eos_token) };
  let template: Template | undefined;
  return {
    source,
    render(messages, open) {
      // Only here: a model whose template is beyond the parser still completes text.
      try {
        template ??= new Template(source);
      } catch (caught) {
        throw new OneBitError(
          'unsupported',
          `The chat template in ${file} cannot be parsed: ${reason(caught)}`,
          {
            cause: caught,
          },
        );
      }
      try {
        return template.render({ ...tokens, messages, add_generation_prompt: open });
      } catch (caught) {
        throw new OneBitError(
          'bad-request',
          `The model's chat template refuses the messages: ${reason(caught)}`,
          { cause: caught },
        );
      }
    },
  };
}

/** What was read last: clients ask for a model's template every few seconds, and a GGUF file's header is long. */
let lastConfig: { path: string; time: number; size: number; config: unknown } | undefined;

/** What tokenizer_config.json would say of a GGUF file. */
async function ggufConfig(path: string): Promise<unknown> {
  const { mtimeMs: time, size } = await stat(path);
  if (lastConfig?.path !== path || lastConfig.time !== time || lastConfig.size !== size) {
    const bytes = (await readGgufTokenizer(path))?.get('tokenizer_config.json');
    const config: unknown = bytes === undefined ? {} : JSON.parse(new TextDecoder().decode(bytes));
    lastConfig = { path, time, size, config };
  }
  return lastConfig.config;
}

async function readText(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > maxTemplateBytes) {
      throw new OneBitError('bad-file', `${path} has more than ${maxTemplateBytes} bytes.`);
    }
    return await readFile(path, 'utf8');
  } catch (caught) {
    throw asOneBitError(caught, path);
  }
}

function chosen(template: z.infer<typeof configSchema>['chat_template']): string | undefined {
  if (!Array.isArray(template)) return template ?? undefined;
  return (template.find(({ name }) => name === 'default') ?? template[0])?.template;
}

function nameOf(token: z.infer<typeof named>): string {
  return (typeof token === 'string' ? token : token?.content) ?? '';
}

function reason(caught: unknown): string {
  return caught instanceof Error ? caught.message.slice(0, 300) : 'unknown error';
}
