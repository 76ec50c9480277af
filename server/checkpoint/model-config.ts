/** Shape of a LLaMA-family model, read from config.json or a llama2.c header. All sizes in elements. */
export interface ModelConfig {
  /** `model_type` of the base architecture. */
  architecture: 'llama';
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  /** Key/value heads (grouped-query attention); divides heads. */
  kvHeads: number;
  headDim: number;
  vocabSize: number;
  maxPositions: number;
  rmsNormEps: number;
  ropeTheta: number;
  tieEmbeddings: boolean;
  /** q, k, v and o have a bias, added after a 1-bit layer's LayerNorm. */
  attentionBias: boolean;
  /** gate, up and down have a bias. */
  mlpBias: boolean;
  /** Eps of the LayerNorm after each 1-bit linear (METHOD.md: 1e-5). */
  layerNormEps: number;
  bosTokenId: number | undefined;
  eosTokenIds: number[];
}

/** The seven linears of a decoder block that become 1-bit, by their names under `model.layers.{i}.`. */
export const projections = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
] as const;
export type Projection = (typeof projections)[number];

/** `[out, in]` of a projection. */
export function projectionShape(config: ModelConfig, projection: Projection): [number, number] {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  switch (projection) {
    case 'self_attn.q_proj':
      return [heads * headDim, hiddenSize];
    case 'self_attn.k_proj':
    case 'self_attn.v_proj':
      return [kvHeads * headDim, hiddenSize];
    case 'self_attn.o_proj':
      return [hiddenSize, heads * headDim];
    case 'mlp.gate_proj':
    case 'mlp.up_proj':
      return [intermediateSize, hiddenSize];
    case 'mlp.down_proj':
      return [hiddenSize, intermediateSize];
  }
}
