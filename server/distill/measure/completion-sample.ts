import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Sample } from '../../protocol/progress.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { tf } from '../backend/tfjs.ts';
import { llamaForward, type Weights } from '../llama-graph.ts';

/** Tokens of the prompt and of the completion, at most. */
const promptTokens = 32;
const completionTokens = 32;

/**
 * Greedy completions of one prompt, the beginning of the held-out text, by models in training: the same
 * prompt every time, so that they can be compared over a run.
 */
export class CompletionSample {
  /** The prompt's text. */
  readonly prompt: string;
  private readonly ids: Int32Array;
  private readonly length: number;

  /** @param heldOut windows of held-out text (see plainWindows), at least one */
  constructor(
    private readonly config: ModelConfig,
    private readonly tokenizer: Tokenizer,
    heldOut: readonly Int32Array[],
  ) {
    const [first = new Int32Array()] = heldOut;
    this.ids = first.slice(0, Math.min(promptTokens, first.length >> 1));
    this.length = Math.min(completionTokens, first.length - this.ids.length);
    this.prompt = tokenizer.decode([...this.ids]);
  }

  /** For the trainer: the model's completion, the first time with the prompt and the teacher's. */
  sampler(model: Weights, teacher?: Weights): (isFirst: boolean) => Promise<Sample> {
    return async (isFirst) => {
      const completion = await this.complete(model);
      if (!isFirst) return { completion };
      const { prompt } = this;
      return teacher === undefined
        ? { completion, prompt }
        : { completion, prompt, teacher: await this.complete(teacher) };
    };
  }

  /**
   * What the model goes on with: the likeliest token each time, up to an end token. Every forward pass has the
   * same shape, so that its buffers are used again; what stands after the last token does not matter to a
   * causal model.
   */
  async complete(weights: Weights): Promise<string> {
    const tokens = new Int32Array(this.ids.length + this.length);
    tokens.set(this.ids);
    const chosen: number[] = [];
    for (let place = this.ids.length; place < tokens.length; place++) {
      const row = tf.tidy(() => {
        const inputs = tf.tensor1d(tokens, 'int32');
        const { logits } = llamaForward(this.config, weights, inputs, 1, tokens.length);
        return tf.slice2d(logits, [place - 1, 0], [1, logits.shape[1]]);
      });
      const id = likeliest((await row.data()) as Float32Array);
      row.dispose();
      if (this.tokenizer.eosIds.includes(id)) break;
      tokens[place] = id;
      chosen.push(id);
    }
    return this.tokenizer.decode(chosen, { continuation: true });
  }
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) {
    if ((logits[id] ?? -Infinity) > (logits[best] ?? -Infinity)) best = id;
  }
  return best;
}
