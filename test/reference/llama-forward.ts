import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readPlainTensors, type PlainTensor } from './plain-safetensors.ts';

/** A linear layer y = f(x) of either kind; `in` and `out` from its weight's shape. */
type Linear = (x: Float64Array) => Float64Array;

interface Block {
  attentionNorm: Float64Array;
  q: Linear;
  k: Linear;
  v: Linear;
  o: Linear;
  mlpNorm: Float64Array;
  gate: Linear;
  up: Linear;
  down: Linear;
  /** Rotated keys and values of every position so far, `[kvHeads × headDim]` each. */
  keys: Float64Array[];
  values: Float64Array[];
}

/**
 * LLaMA's forward pass in float64, one token at a time, written from the Hugging Face definition and,
 * for 1-bit layers, from the method's `Y = LayerNorm([(X ⊙ g) Sᵀ] ⊙ h)` (+ bias). Nothing of the
 * product is used: this is what the product is compared with. Slow; for models of a few megabytes.
 */
export class LlamaReference {
  readonly vocabSize: number;
  private readonly heads: number;
  private readonly kvHeads: number;
  private readonly headDim: number;
  private readonly normEps: number;
  private readonly ropeTheta: number;
  private readonly embedding: PlainTensor;
  private readonly head: PlainTensor;
  private readonly finalNorm: Float64Array;
  private readonly blocks: Block[];

  /**
   * @param options headBits 8: the lm_head's rows rounded to 255 values, with a scale a row; onLinear sees the input and
   *   output of every linear of the blocks, token by token
   */
  constructor(
    folder: string,
    options: {
      headBits?: 8 | 16;
      onLinear?: (name: string, x: Float64Array, y: Float64Array) => void;
    } = {},
  ) {
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, number> & {
      rope_parameters?: { rope_theta?: number };
    };
    const tensors = readPlainTensors(folder);
    const tensor = (name: string): PlainTensor => {
      const found = tensors.get(name);
      if (found === undefined) throw new Error(`reference: no tensor ${name}`);
      return found;
    };
    if (config.rope_scaling) throw new Error('reference: rope_scaling is not implemented');
    const hidden = config.hidden_size as number;
    this.heads = config.num_attention_heads as number;
    this.kvHeads = config.num_key_value_heads ?? this.heads;
    this.headDim = config.head_dim ?? hidden / this.heads;
    this.normEps = config.rms_norm_eps ?? 1e-6;
    this.ropeTheta = config.rope_theta ?? config.rope_parameters?.rope_theta ?? 10000;
    this.embedding = tensors.get('model.embed_tokens.weight') ?? tensor('lm_head.weight');
    const head = tensors.get('lm_head.weight') ?? this.embedding;
    this.head = options.headBits === 8 ? roundRows(head) : head;
    this.vocabSize = this.head.shape[0] as number;
    this.finalNorm = tensor('model.norm.weight').values;
    this.blocks = Array.from({ length: config.num_hidden_layers as number }, (_, i) => {
      const prefix = `model.layers.${i}`;
      const linear = (name: string): Linear => {
        const apply = readLinear(tensors, `${prefix}.${name}`);
        return (x) => {
          const y = apply(x);
          options.onLinear?.(`${prefix}.${name}`, x, y);
          return y;
        };
      };
      return {
        attentionNorm: tensor(`${prefix}.input_layernorm.weight`).values,
        q: linear('self_attn.q_proj'),
        k: linear('self_attn.k_proj'),
        v: linear('self_attn.v_proj'),
        o: linear('self_attn.o_proj'),
        mlpNorm: tensor(`${prefix}.post_attention_layernorm.weight`).values,
        gate: linear('mlp.gate_proj'),
        up: linear('mlp.up_proj'),
        down: linear('mlp.down_proj'),
        keys: [],
        values: [],
      };
    });
  }

  /** Logits `[positions, vocab]` of a fresh sequence. */
  logits(ids: readonly number[]): Float64Array[] {
    this.reset();
    return ids.map((id, position) => this.step(id, position));
  }

  /** Mean negative log-likelihood of tokens 1 … n−1 given those before them, and its exponential. */
  perplexity(ids: readonly number[]): { nll: number; ppl: number } {
    const logits = this.logits(ids.slice(0, -1));
    let sum = 0;
    for (const [i, row] of logits.entries()) sum += logSumExp(row) - (row[ids[i + 1] as number] as number);
    const nll = sum / logits.length;
    return { nll, ppl: Math.exp(nll) };
  }

  /** The `count` tokens of highest logit that follow the prompt; ties go to the lower id. */
  greedy(prompt: readonly number[], count: number): number[] {
    const ids: number[] = [];
    let row = this.logits(prompt).at(-1) as Float64Array;
    while (ids.length < count) {
      const best = row.indexOf(Math.max(...row));
      ids.push(best);
      row = this.step(best, prompt.length + ids.length - 1);
    }
    return ids;
  }

  private reset(): void {
    for (const block of this.blocks) {
      block.keys = [];
      block.values = [];
    }
  }

  private step(id: number, position: number): Float64Array {
    const hidden = this.embedding.shape[1] as number;
    let x: Float64Array = this.embedding.values.slice(id * hidden, (id + 1) * hidden);
    for (const block of this.blocks) {
      x = add(x, this.attention(block, rmsNorm(x, block.attentionNorm, this.normEps), position));
      const normed = rmsNorm(x, block.mlpNorm, this.normEps);
      const gate = block.gate(normed);
      const up = block.up(normed);
      x = add(x, block.down(gate.map((value, i) => (value / (1 + Math.exp(-value))) * (up[i] as number))));
    }
    return product(this.head, rmsNorm(x, this.finalNorm, this.normEps));
  }

  private attention(block: Block, x: Float64Array, position: number): Float64Array {
    const { heads, kvHeads, headDim } = this;
    const q = this.rotate(block.q(x), position);
    block.keys.push(this.rotate(block.k(x), position));
    block.values.push(block.v(x));
    const out = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads));
      const scores = block.keys.map((key) => {
        let sum = 0;
        for (let d = 0; d < headDim; d++) {
          sum += (q[head * headDim + d] as number) * (key[kvHead * headDim + d] as number);
        }
        return sum / Math.sqrt(headDim);
      });
      const norm = logSumExp(scores);
      for (const [at, value] of block.values.entries()) {
        const weight = Math.exp((scores[at] as number) - norm);
        for (let d = 0; d < headDim; d++) {
          out[head * headDim + d] =
            (out[head * headDim + d] as number) + weight * (value[kvHead * headDim + d] as number);
        }
      }
    }
    return block.o(out);
  }

  /** Rotary embedding: x·cos + rotateHalf(x)·sin on each head, frequencies repeated over the two halves. */
  private rotate(x: Float64Array, position: number): Float64Array {
    const { headDim } = this;
    const half = headDim / 2;
    return x.map((value, at) => {
      const d = at % headDim;
      const angle = position * this.ropeTheta ** ((-2 * (d % half)) / headDim);
      const partner = d < half ? -(x[at + half] as number) : (x[at - half] as number);
      return value * Math.cos(angle) + partner * Math.sin(angle);
    });
  }
}

/** Full precision, or 1-bit of the training kind (float latent weight) or the inference kind (packed signs). */
function readLinear(tensors: Map<string, PlainTensor>, name: string): Linear {
  const weight = tensors.get(`${name}.weight`);
  if (weight === undefined) throw new Error(`reference: no tensor ${name}.weight`);
  const bias = tensors.get(`${name}.bias`)?.values;
  const h = tensors.get(`${name}.weight_scale`)?.values;
  const g = tensors.get(`${name}.input_factor`)?.values;
  const withBias = (y: Float64Array) => (bias === undefined ? y : add(y, bias));
  if (h === undefined || g === undefined) return (x) => withBias(product(weight, x));
  const packed = weight.dtype === 'I8' || weight.dtype === 'U8';
  const columns = g.length;
  const signs: PlainTensor = {
    shape: [h.length, columns],
    dtype: 'F64',
    values: Float64Array.from({ length: h.length * columns }, (_, at) => {
      if (!packed) return (weight.values[at] as number) < 0 ? -1 : 1;
      const [row, column] = [Math.floor(at / columns), at % columns];
      const byte = weight.values[(row * columns) / 8 + Math.floor(column / 8)] as number;
      return (byte >> (column % 8)) & 1 ? -1 : 1;
    }),
  };
  return (x) => {
    const y = product(
      signs,
      x.map((value, i) => value * (g[i] as number)),
    ).map((value, i) => value * (h[i] as number));
    const mean = y.reduce((sum, value) => sum + value, 0) / y.length;
    const variance = y.reduce((sum, value) => sum + (value - mean) ** 2, 0) / y.length;
    return withBias(y.map((value) => (value - mean) / Math.sqrt(variance + 1e-5)));
  };
}

/** y = W x, W `[out, in]`. */
function product(weight: PlainTensor, x: Float64Array): Float64Array {
  const [rows, columns] = weight.shape as [number, number];
  const y = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += (weight.values[i * columns + j] as number) * (x[j] as number);
    y[i] = sum;
  }
  return y;
}

function rmsNorm(x: Float64Array, gain: Float64Array, eps: number): Float64Array {
  const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(meanSquare + eps)) * (gain[i] as number));
}

function add(x: Float64Array, y: Float64Array): Float64Array {
  return x.map((value, i) => value + (y[i] as number));
}

function logSumExp(values: ArrayLike<number>): number {
  let max = -Infinity;
  for (let i = 0; i < values.length; i++) max = Math.max(max, values[i] as number);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp((values[i] as number) - max);
  return max + Math.log(sum);
}

/** Each row in units of its largest magnitude / 127, rounded to whole numbers. In f32, so that ties fall the same way. */
function roundRows({ shape, values, ...tensor }: PlainTensor): PlainTensor {
  const columns = shape[1] as number;
  const rounded = Float64Array.from(values);
  for (let start = 0; start < rounded.length; start += columns) {
    const row = rounded.subarray(start, start + columns);
    const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest === 0) continue;
    const inverse = Math.fround(127 / largest);
    row.forEach((value, i) => {
      const quotient = Math.fround(value * inverse);
      const below = Math.floor(quotient);
      const half = quotient - below - 0.5;
      row[i] = ((half > 0 || (half === 0 && below % 2 !== 0) ? below + 1 : below) * largest) / 127;
    });
  }
  return { ...tensor, shape, values: rounded };
}
