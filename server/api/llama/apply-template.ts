import type { RequestHandler } from 'express';
import { z } from 'zod';
import { messagesField } from '../chat-messages.ts';
import { renderChat, withModel } from '../generate-text.ts';
import type { HttpServices } from '../http-routes.ts';
import { textRoute } from '../text-route.ts';

const bodySchema = z.object({ messages: messagesField });

/** `POST /apply-template`: the prompt that the model's chat template makes of a conversation. */
export function applyTemplate(services: HttpServices): RequestHandler {
  return textRoute(services.leases, bodySchema, async ({ body, response, signal }) => {
    const prompt = await withModel(services, async (ready) => renderChat(ready, body.messages), signal);
    response.json({ prompt });
  });
}
