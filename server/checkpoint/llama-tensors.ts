import { OneBitError } from '../protocol/error.ts';
import type { CheckpointKind, TensorInfo } from './checkpoint.ts';
import { isFloatDtype } from './dtype.ts';
import type { HfConfig } from './hf-config.ts';
import { projections, projectionShape, type ModelConfig } from './model-config.ts';

export const embeddingName = 'model.embed_tokens.weight';
export const headName = 'lm_head.weight';

/** What a set of stored tensors turned out to be. */
export interface LlamaTensors {
  kind: CheckpointKind;
  config: ModelConfig;
  tensors: Map<string, TensorInfo>;
}

/**
 * Matches stored tensors with what config.json promises: settles the kind, tied embeddings and biases,
 * and checks every name, dtype and shape.
 * @throws missing-tensor, bad-file (shape, dtype, mixed kinds), unsupported (a tensor that no LLaMA has)
 */
export function matchLlamaTensors(
  stored: ReadonlyMap<string, TensorInfo>,
  { model, ...said }: HfConfig,
  path: string,
): LlamaTensors {
  const tensors = new Map<string, TensorInfo>();
  const kind = findKind(stored, model, path);
  const tieEmbeddings = findTie(stored, said.tieEmbeddings);
  const attentionBias = findBias(stored, '.self_attn.', said.attentionBias, 'attention_bias', path);
  const mlpBias = findBias(stored, '.mlp.', said.mlpBias, 'mlp_bias', path);
  const config: ModelConfig = { ...model, tieEmbeddings, attentionBias, mlpBias };

  take(embeddingName, [config.vocabSize, config.hiddenSize], tieEmbeddings ? headName : undefined);
  take('model.norm.weight', [config.hiddenSize]);
  if (!tieEmbeddings) take(headName, [config.vocabSize, config.hiddenSize]);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}.`;
    take(`${block}input_layernorm.weight`, [config.hiddenSize]);
    take(`${block}post_attention_layernorm.weight`, [config.hiddenSize]);
    for (const projection of projections) {
      const [out, inner] = projectionShape(config, projection);
      const name = block + projection;
      if (kind === 'onebit') {
        if (inner % 8 !== 0) {
          throw new OneBitError(
            'bad-value',
            `${path}: ${name} has ${inner} inputs, which 8 does not divide: its signs cannot be packed.`,
          );
        }
        take(`${name}.weight`, [out, inner / 8], undefined, ['U8', 'I8']);
      } else {
        take(`${name}.weight`, [out, inner]);
      }
      if (kind !== 'full') {
        take(`${name}.weight_scale`, [out]);
        take(`${name}.input_factor`, [inner]);
      }
      if (projection.startsWith('mlp.') ? mlpBias : attentionBias) take(`${name}.bias`, [out]);
    }
  }
  for (const name of stored.keys()) {
    // A tied head may be stored twice; old LLaMA checkpoints carry RoPE frequencies that follow from the config.
    const known = tensors.has(name) || name === headName || name.endsWith('.rotary_emb.inv_freq');
    if (!known) {
      throw new OneBitError(
        'unsupported',
        `${path}: tensor ${name} does not belong to a LLaMA of the shape that config.json gives (${config.layers} layers): it is another architecture, or config.json is of another model.`,
      );
    }
  }
  return { kind, config, tensors };

  function take(name: string, shape: number[], alias?: string, dtypes?: string[]): void {
    const info = stored.get(name) ?? (alias === undefined ? undefined : stored.get(alias));
    if (info === undefined) {
      throw new OneBitError(
        'missing-tensor',
        `${path}: tensor ${name} is missing: the checkpoint is incomplete, or config.json is of another model.`,
      );
    }
    if (info.shape.length !== shape.length || info.shape.some((n, i) => n !== shape[i])) {
      throw new OneBitError(
        'bad-file',
        `${info.file}: tensor ${info.name} has the shape [${info.shape.join(', ')}] and config.json asks for [${shape.join(', ')}]: config.json is of another model.`,
      );
    }
    if (dtypes === undefined ? !isFloatDtype(info.dtype) : !dtypes.includes(info.dtype)) {
      throw new OneBitError(
        'bad-file',
        `${info.file}: tensor ${info.name} has dtype ${info.dtype}; ${(dtypes ?? ['F32', 'F16', 'BF16']).join(', ')} would do.`,
      );
    }
    tensors.set(name, { ...info, name });
  }
}

/** The kind, from the projections of every block: all of them must agree. */
function findKind(
  stored: ReadonlyMap<string, TensorInfo>,
  config: ModelConfig,
  path: string,
): CheckpointKind {
  let kind: CheckpointKind | undefined;
  let first = '';
  for (let layer = 0; layer < config.layers; layer++) {
    for (const projection of projections) {
      const name = `model.layers.${layer}.${projection}`;
      const weight = stored.get(`${name}.weight`);
      if (weight === undefined) {
        throw new OneBitError(
          'missing-tensor',
          `${path}: tensor ${name}.weight is missing: the checkpoint is incomplete, or config.json is of another model.`,
        );
      }
      const scaled = stored.has(`${name}.weight_scale`) || stored.has(`${name}.input_factor`);
      const found: CheckpointKind = !isFloatDtype(weight.dtype)
        ? 'onebit'
        : scaled
          ? 'onebit-training'
          : 'full';
      if (kind === undefined) {
        kind = found;
        first = name;
      } else if (kind !== found) {
        throw new OneBitError(
          'bad-file',
          `${weight.file}: ${name} is stored as ${found}, but ${first} as ${kind}: a model must be of one kind throughout.`,
        );
      }
    }
  }
  return kind ?? 'full';
}

function findTie(stored: ReadonlyMap<string, TensorInfo>, said: boolean | undefined): boolean {
  if (said !== undefined) return said;
  // LLaMA's default is untied; with only one of the two there is nothing to untie.
  return stored.has(embeddingName) !== stored.has(headName);
}

function findBias(
  stored: ReadonlyMap<string, TensorInfo>,
  part: '.self_attn.' | '.mlp.',
  said: boolean | undefined,
  field: string,
  path: string,
): boolean {
  const bias = [...stored.keys()].find((name) => name.includes(part) && name.endsWith('_proj.bias'));
  if (bias !== undefined && said === false) {
    throw new OneBitError(
      'bad-file',
      `${path}: tensor ${bias} is there, but config.json says ${field} false: set it to true, or remove the tensor.`,
    );
  }
  return said ?? bias !== undefined;
}
