import {
  causalAttention,
  crossEntropy,
  embed,
  linear,
  matrix,
  rmsNorm,
  signLinear,
  softmaxKl,
  swiglu,
  unitDistance,
  type Matrix,
} from './training-ops.ts';

/** Flat float64 values by checkpoint name; a 1-bit linear's `.weight` holds its signs. */
export type Values = ReadonlyMap<string, Float64Array>;

export interface Shape {
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
  rmsNormEps: number;
  layerNormEps: number;
  ropeTheta: number;
}

/** The whole LLaMA in float64: logits, what enters each block, and last what leaves the last one. */
export function forward(
  shape: Shape,
  values: Values,
  ids: number[],
  window: number,
): { logits: Matrix; states: Matrix[] } {
  const of = (name: string): Float64Array => {
    const found = values.get(name);
    if (found === undefined) throw new Error(name);
    return found;
  };
  const project = (x: Matrix, name: string): Matrix => {
    const weight = of(`${name}.weight`);
    const out = weight.length / x.cols;
    const g = values.get(`${name}.input_factor`);
    return g === undefined
      ? linear(x, matrix(out, x.cols, weight), new Float64Array(out))
      : signLinear(x, matrix(out, x.cols, weight), g, of(`${name}.weight_scale`), shape.layerNormEps);
  };
  const plus = (a: Matrix, b: Matrix) =>
    matrix(
      a.rows,
      a.cols,
      a.values.map((value, i) => value + (b.values[i] ?? NaN)),
    );
  const table = matrix(shape.vocabSize, shape.hiddenSize, of('model.embed_tokens.weight'));
  let x = embed(table, ids);
  const states: Matrix[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    states.push(x);
    const block = `model.layers.${layer}`;
    const a = rmsNorm(x, of(`${block}.input_layernorm.weight`), shape.rmsNormEps);
    const [q, k, v] = ['q', 'k', 'v'].map((p) => project(a, `${block}.self_attn.${p}_proj`)) as [
      Matrix,
      Matrix,
      Matrix,
    ];
    x = plus(x, project(causalAttention(q, k, v, { ...shape, window }), `${block}.self_attn.o_proj`));
    const b = rmsNorm(x, of(`${block}.post_attention_layernorm.weight`), shape.rmsNormEps);
    const inner = swiglu(project(b, `${block}.mlp.gate_proj`), project(b, `${block}.mlp.up_proj`));
    x = plus(x, project(inner, `${block}.mlp.down_proj`));
  }
  states.push(x);
  const last = rmsNorm(x, of('model.norm.weight'), shape.rmsNormEps);
  return { logits: linear(last, table, new Float64Array(shape.vocabSize)), states };
}

/** kl · KL + hidden · Σ distances + lm · NLL, in float64. */
export function distillationLoss(
  shape: Shape,
  teacher: Values,
  student: Values,
  ids: number[],
  labels: number[],
  window: number,
  weights: { kl: number; hidden: number; hiddenLayers: readonly number[]; languageModel: number },
): number {
  const target = forward(shape, teacher, ids, window);
  const own = forward(shape, student, ids, window);
  const distances = weights.hiddenLayers.map((layer) => {
    const none = matrix(0, 0);
    return unitDistance(target.states[layer] ?? none, own.states[layer] ?? none);
  });
  return (
    weights.kl * softmaxKl(target.logits, own.logits) +
    weights.hidden * distances.reduce((sum, distance) => sum + distance, 0) +
    weights.languageModel *
      crossEntropy(
        own.logits,
        labels,
        labels.map(() => 1),
      )
  );
}
