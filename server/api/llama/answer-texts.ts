import type { Turn } from '../../engine/request-queue.ts';
import { generateText, type GeneratedText, type ReadyModel, type TextInput } from '../generate-text.ts';
import type { Metrics } from '../metrics.ts';
import type { Exchange } from '../text-route.ts';
import { finalAnswer, partialAnswer, requestOf, type Generation } from './generation.ts';

/**
 * Answers with the texts that are asked for, `generation.count` for each input, one after another so that they share
 * the prompt's KV cache: one object, or a list of them where there are several; or events, the last of each text
 * with `stop` true.
 */
export async function answerTexts(
  ready: ReadyModel,
  inputs: readonly TextInput[],
  generation: Generation,
  turn: Turn,
  metrics: Metrics,
  { response, events, signal }: Pick<Exchange<unknown>, 'response' | 'events' | 'signal'>,
): Promise<void> {
  const stream = generation.body.stream === true;
  const answers: object[] = [];
  for (const input of inputs) {
    let predictedMs = 0;
    for (let repetition = 0; repetition < generation.count; repetition++) {
      const index = answers.length;
      const text: GeneratedText = await generateText(
        ready,
        { ...requestOf(generation, repetition, predictedMs), input, turn },
        metrics,
        (piece) => {
          if (stream) events.send(partialAnswer(generation, ready.tokenizer, index, piece));
        },
        signal,
      );
      if (signal.aborted) return;
      predictedMs += text.timings.decodeMs;
      const answer = finalAnswer(generation, ready, index, text);
      if (stream) events.send(answer);
      answers.push(answer);
    }
  }
  if (stream) events.end();
  else response.json(answers.length === 1 ? answers[0] : answers);
}
