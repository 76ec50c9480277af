import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { floatsToHalfBytes } from '../../checkpoint/float-conversion.ts';
import type { Projection } from '../../checkpoint/model-config.ts';
import { OneBitError, throwIfCancelled } from '../../protocol/error.ts';
import type { OnProgress } from '../../protocol/progress.ts';
import { notFinite, readFiniteFloats, readLinear, SignLinear } from '../cpu/portable-linear.ts';
import { groupShape, headPieces, linearGroups, signWords, type LinearGroup } from './buffer-plan.ts';

const members: Record<LinearGroup, Projection[]> = {
  qkv: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  o: ['self_attn.o_proj'],
  gateUp: ['mlp.gate_proj', 'mlp.up_proj'],
  down: ['mlp.down_proj'],
};

/** Writes bytes to a buffer of `planBuffers`, by name. */
export type Upload = (name: string, values: ArrayBufferView, offset?: number) => void;

/**
 * Reads a 1-bit checkpoint layer by layer and uploads it; waits for the GPU after each layer, so that only one
 * layer is in the host's memory.
 * @param sent resolves when what was uploaded has arrived
 * @returns the embedding `[vocab, hidden]` as fp16 bits, which stays in the host's memory
 * @throws OneBitError bad-value for a NaN or what fp16 cannot hold; cancelled
 */
export async function uploadWeights(
  checkpoint: Checkpoint,
  upload: Upload,
  sent: () => Promise<void>,
  signal?: AbortSignal,
  onProgress?: OnProgress,
): Promise<Uint16Array> {
  const { config } = checkpoint;
  const { layers, hiddenSize } = config;
  const norm = async (from: string, to: string) =>
    upload(to, await readFiniteFloats(checkpoint, from, signal));
  for (let layer = 0; layer < layers; layer++) {
    throwIfCancelled(signal);
    onProgress?.({ phase: 'load', done: layer, total: layers, unit: 'layers' });
    for (const group of linearGroups) await uploadGroup(checkpoint, layer, group, upload, signal);
    const block = `model.layers.${layer}.`;
    await norm(`${block}input_layernorm.weight`, `layers.${layer}.inputNorm`);
    await norm(`${block}post_attention_layernorm.weight`, `layers.${layer}.postNorm`);
    await sent();
  }
  await norm('model.norm.weight', 'norm');
  const embedding = await readHalves(checkpoint, 'model.embed_tokens.weight', signal);
  const head = config.tieEmbeddings ? embedding : await readHalves(checkpoint, 'lm_head.weight', signal);
  for (const [piece, { first, count }] of headPieces(config).entries()) {
    upload(`head.${piece}`, head.subarray(first * hiddenSize, (first + count) * hiddenSize));
  }
  await sent();
  onProgress?.({ phase: 'load', done: layers, total: layers, unit: 'layers' });
  return embedding;
}

async function uploadGroup(
  checkpoint: Checkpoint,
  layer: number,
  group: LinearGroup,
  upload: Upload,
  signal?: AbortSignal,
): Promise<void> {
  const { inSize, outs } = groupShape(checkpoint.config, group);
  const name = `layers.${layer}.${group}`;
  const rowBytes = 4 * signWords(inSize);
  let outputs = 0;
  for (const [member, projection] of members[group].entries()) {
    const linear = await readLinear(checkpoint, layer, projection, signal);
    if (!(linear instanceof SignLinear)) {
      throw new OneBitError(
        'unsupported',
        'The GPU engine runs 1-bit checkpoints only: use --device cpu for this one.',
      );
    }
    const { signs, g, h, bias } = linear;
    upload(`${name}.signs`, paddedRows(signs, inSize / 8, rowBytes), outputs * rowBytes);
    upload(`${name}.g`, g, 4 * member * inSize);
    upload(`${name}.h`, h, 4 * outputs);
    if (bias !== undefined) upload(`${name}.bias`, bias, 4 * outputs);
    outputs += outs[member] ?? 0;
  }
}

/** Rows of `from` bytes, each padded with zeros to `to` bytes. The inputs there are zero too. */
function paddedRows(bytes: Uint8Array, from: number, to: number): Uint8Array {
  if (from === to) return bytes;
  const rows = bytes.length / from;
  const padded = new Uint8Array(rows * to);
  for (let row = 0; row < rows; row++) padded.set(bytes.subarray(row * from, (row + 1) * from), row * to);
  return padded;
}

/** A tensor as fp16 bits: as it is stored, or rounded. */
async function readHalves(checkpoint: Checkpoint, name: string, signal?: AbortSignal): Promise<Uint16Array> {
  if (checkpoint.tensors.get(name)?.dtype !== 'F16') {
    const floats = await readFiniteFloats(checkpoint, name, signal);
    return new Uint16Array(floatsToHalfBytes(floats, name).buffer);
  }
  const bytes = await checkpoint.readBytes(name, signal);
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
  if (halves.some((bits) => (bits & 0x7c00) === 0x7c00)) throw notFinite(checkpoint, name);
  return halves;
}

/** cos and sin of every position's RoPE angles, `[context, headDim / 2, 2]` f32, from angles in f64. */
export function rotationTable(contextLength: number, headDim: number, theta: number): Float32Array {
  const half = headDim / 2;
  const table = new Float32Array(contextLength * headDim);
  for (let position = 0; position < contextLength; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** (-i / half);
      table[position * headDim + 2 * i] = Math.cos(angle);
      table[position * headDim + 2 * i + 1] = Math.sin(angle);
    }
  }
  return table;
}
