import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readPlainTensors } from './plain-safetensors.ts';
import type { RandomCheckpoint, RandomTensor } from './random-checkpoint.ts';
import { llamaFields, llamaTensors, writeGguf, type GgufField } from './write-gguf.ts';

interface StarterConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  eos_token_id: number;
}
interface TokenizerJson {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
  added_tokens: { id: number; content: string; special: boolean }[];
}

const f32 = 0;
const [control, normal] = [3, 1];
const projection = /^model\.layers\.\d+\.(self_attn|mlp)\..*_proj\.weight$/;

/**
 * Writes one GGUF file, with its tokenizer in it, that quantizes to a model that completes: each matrix is the shipped
 * 1-bit student's S ⊙ (h gᵀ), written out. |W| is then of rank one, so SVID finds the same signs and, but for a factor
 * that the LayerNorm takes away, the same g and h. (As a LLaMA, without that LayerNorm, the file says nothing of sense.)
 * @param student folder of the shipped student
 */
export function writeStarterGguf(path: string, student: string): void {
  const read = <T>(name: string) => JSON.parse(readFileSync(join(student, name), 'utf8')) as T;
  const config = read<StarterConfig>('config.json');
  const stored = readPlainTensors(student);
  const tensors = new Map<string, RandomTensor>();
  for (const [name, { shape, values }] of stored) {
    if (/\.(weight_scale|input_factor)$/.test(name)) continue;
    if (!projection.test(name)) {
      tensors.set(name, { shape, values });
      continue;
    }
    const h = stored.get(name.replace(/weight$/, 'weight_scale'))?.values;
    const g = stored.get(name.replace(/weight$/, 'input_factor'))?.values;
    if (h === undefined || g === undefined) throw new Error(`${name} has no g or h`);
    const columns = g.length;
    const dense = new Float64Array(h.length * columns);
    for (let row = 0; row < h.length; row++) {
      for (let column = 0; column < columns; column++) {
        const at = row * columns + column;
        const byte = values[at >> 3] ?? 0;
        const sign = (byte >> (at & 7)) & 1 ? -1 : 1;
        dense[at] = sign * (h[row] ?? 0) * (g[column] ?? 0);
      }
    }
    tensors.set(name, { shape: [h.length, columns], values: dense });
  }
  const model: RandomCheckpoint = {
    path: student,
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim: config.head_dim,
    vocabSize: config.vocab_size,
    maxPositions: config.max_position_embeddings,
    ropeTheta: config.rope_theta,
    rmsNormEps: config.rms_norm_eps,
    ...{ attentionBias: false, mlpBias: false, tied: true, onebit: false },
    tensors,
  };
  const shape = llamaFields(model).filter(([key]) => !key.startsWith('tokenizer.'));
  const tokenizer = tokenizerFields(read<TokenizerJson>('tokenizer.json'), config.eos_token_id);
  const encode = (values: Float32Array) => ({ type: f32, bytes: Buffer.from(values.buffer) });
  writeGguf(path, [...shape, ...tokenizer], llamaTensors(model, encode));
}

/** As llama.cpp's converter writes a byte-level tokenizer; Qwen's rules are the starter's but for `'s` and the like. */
function tokenizerFields({ model, added_tokens: added }: TokenizerJson, end: number): GgufField[] {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content } of added) tokens[id] = content;
  const special = new Set(added.filter((each) => each.special).map(({ id }) => id));
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['tokenizer.ggml.model', 'text', 'gpt2'],
    ['tokenizer.ggml.pre', 'text', 'qwen2'],
    ['tokenizer.ggml.tokens', 'texts', tokens],
    ['tokenizer.ggml.token_type', 'ints', tokens.map((_, id) => (special.has(id) ? control : normal))],
    ['tokenizer.ggml.merges', 'texts', merges],
    ['tokenizer.ggml.eos_token_id', 'u32', end],
  ];
}
