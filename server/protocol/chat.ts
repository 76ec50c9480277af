import { completionTimingsSchema, finishReasonSchema } from './completion.ts';
import { shortList, z } from './schema.ts';

export const chatMessageSchema = z.object({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string().max(1_000_000),
});
export type ChatTurn = z.infer<typeof chatMessageSchema>;

const messages = shortList(chatMessageSchema, 2000).refine((list) => list.length > 0, 'must not be empty');

/** `chat`: the next turn of a conversation, by the model's chat template. Streams `chat/delta`, then answers. */
export const chatParamsSchema = z.object({
  /** Chosen by the client; names this request in `chat/delta`. */
  id: z.string().min(1).max(100),
  /** The model that was chosen for the conversation: `not-found` where another one is in use by now. Absent: any. */
  model: z.string().min(1).max(4096).optional(),
  messages,
  /** Absent: until the context is full. */
  maxTokens: z.number().int().min(1).max(1_000_000).optional(),
  temperature: z.number().min(0).max(5).default(0.8),
  topK: z.number().int().min(0).max(100_000).default(40),
  topP: z.number().min(0).max(1).default(0.95),
  minP: z.number().min(0).max(1).default(0.05),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .optional(),
  stop: shortList(z.string().min(1).max(200), 16).default([]),
});
export type ChatParams = Omit<z.input<typeof chatParamsSchema>, 'messages'> & {
  messages: readonly ChatTurn[];
};
export type CheckedChatParams = z.output<typeof chatParamsSchema>;

export const chatResultSchema = z.object({
  id: z.string(),
  text: z.string(),
  finishReason: finishReasonSchema,
  model: z.string(),
  timings: completionTimingsSchema,
});
export type ChatResult = z.infer<typeof chatResultSchema>;

export interface ChatDelta {
  id: string;
  text: string;
}

/** `chat/count`: the tokens of a conversation as the chat template writes it, without the turn that would follow. */
export const chatCountParamsSchema = z.object({ messages });
export interface ChatCountParams {
  messages: readonly ChatTurn[];
}
