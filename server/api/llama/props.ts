import type { RequestHandler } from 'express';
import { packageVersion } from '../../package-root.ts';
import { readChatTemplate } from '../../tokenizer/chat-template.ts';
import type { HttpServices } from '../http-routes.ts';
import { generationOf, generationSettings } from './generation.ts';

/** `GET /props`: what the chosen model and its defaults are. Does not wake the model: its files are enough. */
export function props({ host, models }: HttpServices): RequestHandler {
  return async (_request, response) => {
    const { summary, contextLength, sequences } = await host.chosen();
    const n_ctx = contextLength ?? (await models.maxPositions(summary.path));
    const status = host.status();
    const template = await readChatTemplate(summary.path);
    response.json({
      default_generation_settings: {
        ...{ id: 0, id_task: -1, n_ctx, speculative: false, is_processing: status.active > 0 },
        params: { ...generationSettings(generationOf({}), n_ctx, summary.id), seed: 2 ** 32 - 1 },
      },
      total_slots: sequences,
      model_alias: summary.id,
      model_path: summary.path,
      chat_template: template?.source ?? '',
      modalities: { vision: false, audio: false },
      build_info: `onebit ${packageVersion()}`,
      is_sleeping: status.state !== 'ready' && status.state !== 'loading',
    });
  };
}
