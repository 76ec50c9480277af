import { randomFillSync } from 'node:crypto';
import { copyFile, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './places.ts';

const shape = { hidden: 1536, intermediate: 4096, layers: 12, heads: 12, vocabulary: 4096 };

/** F16 bits of 2⁻⁵: with random signs, activations keep a moderate size. */
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
 * Writes a 1-bit model with random signs (340 million weights) that says nothing sensible, never ends by
 * itself, and takes seconds for a long completion: time to cancel it. Its tokenizer is the starter's.
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
  const file = await open(join(folder, 'model.safetensors'), 'w');
  try {
    await file.write(Buffer.concat([length, text]));
    for (const [name, dtype, dimensions] of tensors()) {
      const count = dimensions.reduce((a, b) => a * b, 1);
      if (dtype === 'U8') await file.write(randomFillSync(Buffer.alloc(count)));
      else if (name === 'lm_head.weight') await file.write(twoTokenHead(tokenizer.model.vocab));
      else await file.write(halves(count, dimensions.length === 2, name.includes('norm')));
    }
  } finally {
    await file.close();
  }
}

/** Random ±2⁻⁵ for matrices, ones for norms, 2⁻⁵ for the value vectors. */
function halves(count: number, random: boolean, ones: boolean): Buffer {
  const values = new Uint16Array(count).fill(ones ? 0x3c00 : smallHalf);
  if (random) {
    const bits = randomFillSync(new Uint8Array(count));
    for (let i = 0; i < count; i++) if ((bits[i] ?? 0) & 1) values[i] = smallHalf | 0x8000;
  }
  return Buffer.from(values.buffer);
}

/** A head that says nothing but `a` and `b`: their rows are opposite, so one of the two always wins. */
function twoTokenHead(vocabulary: Record<string, number>): Buffer {
  const head = new Uint16Array(shape.vocabulary * shape.hidden);
  const [a, b] = [vocabulary.a, vocabulary.b];
  if (a === undefined || b === undefined) throw new Error('The tokenizer has no letters.');
  const signs = randomFillSync(new Uint8Array(shape.hidden));
  for (let i = 0; i < shape.hidden; i++) {
    const negative = ((signs[i] ?? 0) & 1) === 1;
    head[a * shape.hidden + i] = negative ? smallHalf | 0x8000 : smallHalf;
    head[b * shape.hidden + i] = negative ? smallHalf : smallHalf | 0x8000;
  }
  return Buffer.from(head.buffer);
}
