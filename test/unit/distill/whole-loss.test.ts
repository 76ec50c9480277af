import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { projections, projectionShape, type ModelConfig } from '../../../server/checkpoint/model-config.ts';
import { tf } from '../../../server/distill/backend/tfjs.ts';
import { llamaForward } from '../../../server/distill/llama-graph.ts';
import { distillationLoss } from '../../../server/distill/losses.ts';
import { crossEntropy } from '../../../server/distill/ops/index.ts';
import { disposeParameters, variableOf, type Parameters } from '../../../server/distill/parameters.ts';
import * as reference from '../../reference/llama-loss.ts';
import { randomArray, relativeError } from './gradient-check.ts';
import { trainingBackends } from './training-backends.ts';

const config: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 16,
  intermediateSize: 24,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  vocabSize: 11,
  maxPositions: 8,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieEmbeddings: true,
  attentionBias: false,
  mlpBias: false,
  layerNormEps: 1e-5,
  bosTokenId: undefined,
  eosTokenIds: [],
};
const window = 5;
const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
const labels = [1, 4, 1, 5, 9, 2, 6, 5, 3, 10];
const weights = { kl: 1, hidden: 0.3, hiddenLayers: [0, 1], languageModel: 0.2 };
let seed = 1;

/** Random values of every tensor; a 1-bit model's latent weights stay away from zero. */
function randomValues(oneBit: boolean): Map<string, { shape: number[]; values: Float32Array }> {
  const all = new Map<string, { shape: number[]; values: Float32Array }>();
  const add = (name: string, shape: number[], scale: number, middle = 0): void => {
    const values = randomArray(
      shape.reduce((a, b) => a * b),
      seed++,
    ).map((x) => middle + scale * x);
    all.set(name, { shape, values });
  };
  add('model.embed_tokens.weight', [config.vocabSize, config.hiddenSize], 0.8);
  add('model.norm.weight', [config.hiddenSize], 0.2, 1);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `model.layers.${layer}`;
    add(`${block}.input_layernorm.weight`, [config.hiddenSize], 0.2, 1);
    add(`${block}.post_attention_layernorm.weight`, [config.hiddenSize], 0.2, 1);
    for (const projection of projections) {
      const shape = projectionShape(config, projection);
      add(`${block}.${projection}.weight`, shape, 0.5);
      if (!oneBit) continue;
      add(`${block}.${projection}.weight_scale`, [shape[0]], 0.3, 1);
      add(`${block}.${projection}.input_factor`, [shape[1]], 0.3, 1);
    }
  }
  return all;
}

const variables = (values: ReturnType<typeof randomValues>, trainable: boolean): Parameters =>
  new Map(
    [...values].map(([name, { shape, values }]) => [name, variableOf(values.slice(), shape, trainable)]),
  );

const isSigns = (name: string, all: ReadonlyMap<string, unknown>): boolean =>
  all.has(name.replace(/\.weight$/, '.weight_scale')) && name.endsWith('.weight');

/** What the float64 reference takes: 1-bit weights as their signs. */
function exactValues(values: ReturnType<typeof randomValues>): Map<string, Float64Array> {
  return new Map(
    [...values].map(([name, { values: own }]) => [
      name,
      Float64Array.from(own, (value) => (isSigns(name, values) ? (value < 0 ? -1 : 1) : value)),
    ]),
  );
}

/** Some places of a tensor, spread over it: differencing every weight twice would take a minute. */
const places = (length: number): number[] =>
  [0.07, 0.31, 0.52, 0.78, 0.99].map((share) => Math.floor(share * length));

/** Compares a gradient with central differences of the float64 loss, at `places`. */
async function expectGradient(
  name: string,
  gradient: tf.Tensor | undefined,
  values: Map<string, Float64Array>,
  loss: (values: Map<string, Float64Array>) => number,
  factor: (place: number) => number = () => 1,
): Promise<void> {
  const own = values.get(name) ?? new Float64Array();
  const actual = (await gradient?.data()) as Float32Array | undefined;
  if (actual === undefined) throw new Error(`${name} has no gradient.`);
  const step = 1e-5;
  const largest = actual.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (const place of places(own.length)) {
    const moved = (by: number) => loss(new Map(values).set(name, own.with(place, (own[place] ?? NaN) + by)));
    const slope = ((moved(step) - moved(-step)) / (2 * step)) * factor(place);
    expect(Math.abs((actual[place] ?? NaN) - slope) / largest, `${name}[${place}]`).toBeLessThan(1e-4);
  }
}

describe.each(trainingBackends)('whole loss on the %s backend', (_name, activate) => {
  beforeAll(activate);
  let held: Parameters[] = [];
  afterEach(() => {
    held.forEach(disposeParameters);
    held = [];
  });

  it.each([
    ['the authors’ hidden states', [0, 1]],
    ['all hidden states', [0, 1, 2]],
  ])('of distillation with %s has the gradient of the float64 reference', async (_, hiddenLayers) => {
    const chosen = { ...weights, hiddenLayers };
    const [teacherValues, studentValues] = [randomValues(false), randomValues(true)];
    const teacher = variables(teacherValues, false);
    const student = variables(studentValues, true);
    held = [teacher, student];
    const [inputs, expected] = [tf.tensor1d(ids, 'int32'), tf.tensor1d(labels, 'int32')];
    const target = tf.tidy(() => ({ ...llamaForward(config, teacher, inputs, 2, window) }));
    const { value, grads } = tf.variableGrads(
      () => distillationLoss(target, llamaForward(config, student, inputs, 2, window), expected, chosen).loss,
      [...student.values()],
    );
    const exactTeacher = exactValues(teacherValues);
    const exactStudent = exactValues(studentValues);
    const loss = (own: Map<string, Float64Array>) =>
      reference.distillationLoss(config, exactTeacher, own, ids, labels, window, chosen);
    expect(Math.abs(((await value.data())[0] ?? NaN) - loss(exactStudent)) / loss(exactStudent)).toBeLessThan(
      1e-5,
    );
    for (const [name, variable] of student) {
      const latent = studentValues.get(name)?.values;
      // Straight through: the sign's derivative is replaced by 1.001 − tanh(latent)².
      const through = (place: number) => 1.001 - Math.tanh(latent?.[place] ?? NaN) ** 2;
      const factor = isSigns(name, studentValues) ? through : undefined;
      await expectGradient(name, grads[variable.name], exactStudent, loss, factor);
    }
    tf.dispose([inputs, expected, value, grads]);
    tf.dispose([target.logits, ...target.hiddenStates]);
  });

  it.each(['tanh', 'plain', 'clipped'] as const)(
    'with blocks computed again has the same gradients, straight through: %s',
    async (straightThrough) => {
      const teacher = variables(randomValues(false), false);
      const student = variables(randomValues(true), true);
      held = [teacher, student];
      const [inputs, expected] = [tf.tensor1d(ids, 'int32'), tf.tensor1d(labels, 'int32')];
      const target = tf.tidy(() => ({ ...llamaForward(config, teacher, inputs, 2, window) }));
      const all = { ...weights, hiddenLayers: [0, 1, 2] };
      const gradients = async (recompute: 'none' | 'blocks', chosen = all) => {
        const { value, grads } = tf.variableGrads(() => {
          const graph = { straightThrough, recompute };
          const result = llamaForward(config, student, inputs, 2, window, graph);
          return distillationLoss(target, result, expected, chosen).loss;
        }, [...student.values()]);
        const figures = new Map([['loss', await value.data()]]);
        for (const [name, variable] of student) {
          figures.set(name, (await grads[variable.name]?.data()) ?? new Float32Array());
        }
        tf.dispose([value, grads]);
        return figures;
      };
      // What enters a block has several gradients with the hidden-state loss: their order of adding differs.
      const kept = await gradients('none');
      const before = tf.memory().numTensors;
      const again = await gradients('blocks');
      expect(tf.memory().numTensors).toBe(before);
      for (const [name, values] of kept) {
        expect(relativeError(again.get(name) ?? [], values), name).toBeLessThan(2e-6);
      }
      const withoutHidden = { ...all, hidden: 0 };
      expect(await gradients('blocks', withoutHidden)).toEqual(await gradients('none', withoutHidden));
      tf.dispose([inputs, expected, target.logits, ...target.hiddenStates]);
    },
  );

  it('of language modelling has the gradient of the float64 reference', async () => {
    const values = randomValues(false);
    const model = variables(values, true);
    held = [model];
    const [inputs, expected] = [tf.tensor1d(ids, 'int32'), tf.tensor1d(labels, 'int32')];
    const { value, grads } = tf.variableGrads(
      () => crossEntropy(llamaForward(config, model, inputs, 2, window).logits, expected),
      [...model.values()],
    );
    const exact = exactValues(values);
    const loss = (own: Map<string, Float64Array>) =>
      reference.distillationLoss(config, exact, own, ids, labels, window, {
        kl: 0,
        hidden: 0,
        hiddenLayers: [0],
        languageModel: 1,
      });
    for (const [name, variable] of model) {
      await expectGradient(name, grads[variable.name], exact, loss);
    }
    tf.dispose([inputs, expected, value, grads]);
  });
});
