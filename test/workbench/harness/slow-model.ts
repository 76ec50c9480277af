import { randomFillSync } from 'node:crypto';
import { copyFile, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './places.ts';

const shape = { hidden: 1536, intermediate: 4096, layers: 12, heads: 12, vocabulary: 4096 };

/** F16 bits of 1 and of 2⁻⁵. */
const one = 0x3c00;
const smallHalf = 0x2800;

type Tensor = [name: string, dtype: 'U8' | 'F16', shape: number[]];

function tensors(): Tensor[] {
  const { hidden, intermediate, layers, vocabulary } = shape;
  const list: Tensor[] = [
    ['model.embed_tokens.weight', 'F16', [vocabulary, hidden]],
    ['model.norm.weight', 'F16', [hidden]],
    ['lm_head.weight', 'F16', [vocabulary, hidden]],
  ];
  for (let layer = 0; layer < layers; layer++) {
    const linear = (name: string, rows: number, columns: number): Tensor[] => [
      [`model.layers.${layer}.${name}.weight`, 'U8', [rows, columns / 8]],
      [`model.layers.${layer}.${name}.weight_scale`, 'F16', [rows]],
      [`model.layers.${layer}.${name}.input_factor`, 'F16', [columns]],
    ];
    list.push(
      [`model.layers.${layer}.input_layernorm.weight`, 'F16', [hidden]],
      [`model.layers.${layer}.post_attention_layernorm.weight`, 'F16', [hidden]],
      ...['q', 'k', 'v', 'o'].flatMap((name) => linear(`self_attn.${name}_proj`, hidden, hidden)),
      ...['gate', 'up'].flatMap((name) => linear(`mlp.${name}_proj`, intermediate, hidden)),
      ...linear('mlp.down_proj', hidden, intermediate),
    );
  }
  return list;
}

/**
 * Writes a 1-bit model with random signs (340 million weights) that takes seconds for a long completion: time to cancel
 * it. It says one word after another out of hundreds, so that nothing ends it as a repetition. Its tokenizer is the
 * starter's.
 */
export async function writeSlowModel(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.heads,
    vocab_size: shape.vocabulary,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    quantization_config: { quant_method: 'onebit', version: 1 },
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const starter = join(root, 'server', 'starter', 'student');
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(starter, name), join(folder, name));
  }
  const tokenizer = JSON.parse(await readFile(join(starter, 'tokenizer.json'), 'utf8')) as {
    model: { vocab: Record<string, number> };
  };
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, dtype, dimensions] of tensors()) {
    const bytes = dimensions.reduce((a, b) => a * b, dtype === 'U8' ? 1 : 2);
    header[name] = { dtype, shape: dimensions, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const chain = wordChain(tokenizer.model.vocab);
  const file = await open(join(folder, 'model.safetensors'), 'w');
  try {
    await file.write(Buffer.concat([length, text]));
    for (const [name, dtype, dimensions] of tensors()) {
      const count = dimensions.reduce((a, b) => a * b, 1);
      if (dtype === 'U8') await file.write(randomFillSync(Buffer.alloc(count)));
      else if (name === 'lm_head.weight') await file.write(chain.head);
      else if (name === 'model.embed_tokens.weight') await file.write(chain.embedding);
      else await file.write(halves(count, valueOf(name)));
    }
  } finally {
    await file.close();
  }
}

/** With h = 0 the layers add nothing to the hidden state, whatever they cost: the embedding alone chooses the next word. */
const valueOf = (name: string): number => (name.endsWith('.weight_scale') ? 0 : one);

const halves = (count: number, value: number): Buffer =>
  Buffer.from(new Uint16Array(count).fill(value).buffer);

/**
 * F16 [vocabulary, hidden] both. Words (tokens of a space and letters) are a ring: each has a random embedding of
 * ±2⁻⁵, and the head's row of a word is the embedding of the word before it. All that is no word leads to the first.
 */
function wordChain(vocabulary: Record<string, number>): { embedding: Buffer; head: Buffer } {
  const words = Object.entries(vocabulary).flatMap(([text, id]) =>
    /^\u0120[a-z]{2,}$/.test(text) ? [id] : [],
  );
  if (words.length < 100) throw new Error('The tokenizer has too few words.');
  const { hidden } = shape;
  const bits = randomFillSync(new Uint8Array(words.length * hidden));
  const rows = Uint16Array.from(bits, (bit) => ((bit & 1) === 1 ? smallHalf | 0x8000 : smallHalf));
  const row = (index: number) => rows.subarray(index * hidden, (index + 1) * hidden);
  const embedding = new Uint16Array(shape.vocabulary * hidden);
  const head = new Uint16Array(shape.vocabulary * hidden);
  for (let id = 0; id < shape.vocabulary; id++) embedding.set(row(0), id * hidden);
  for (const [index, id] of words.entries()) {
    embedding.set(row(index), id * hidden);
    head.set(row((index + words.length - 1) % words.length), id * hidden);
  }
  return { embedding: Buffer.from(embedding.buffer), head: Buffer.from(head.buffer) };
}
