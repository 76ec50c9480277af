import { shortList, z } from '../protocol/schema.ts';
import type { ChatMessage } from '../tokenizer/chat-template.ts';
import { textField } from './body-fields.ts';

const textPart = z.object({
  type: z.literal('text', 'only text is supported'),
  text: textField,
});

/** `messages` of a chat: OpenAI's, of text only. Parts of a content become one text. */
export const messagesField = shortList(
  z.object({
    role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
    content: z.union([textField, shortList(textPart, 1000)]).nullish(),
  }),
  2000,
)
  .refine((messages) => messages.length > 0, 'must not be empty')
  .transform((messages) =>
    messages.map(({ role, content }): ChatMessage => ({
      // Templates know the newer word's older form.
      role: role === 'developer' ? 'system' : role,
      content: Array.isArray(content) ? content.map(({ text }) => text).join('') : (content ?? ''),
    })),
  );
