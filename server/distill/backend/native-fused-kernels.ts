import type { StudentRecipe } from '../../protocol/recipe.ts';
import type { FusedOp } from '../ops/fused.ts';
import type { NativeBackend } from './native-backend.ts';
import type { AttentionSizes } from './training-addon.ts';
import { tf } from './tfjs.ts';

type Inputs = Record<string, tf.TensorInfo>;
type Kernel<A> = (inputs: Inputs, attributes: A, backend: NativeBackend) => tf.TensorInfo[];

function register<A = object>(name: FusedOp | `${FusedOp}Gradient`, kernel: Kernel<A>): void {
  tf.registerKernel({
    kernelName: name,
    backendName: 'native',
    kernelFunc: ({ inputs, attrs, backend }) =>
      kernel(inputs as Inputs, attrs as unknown as A, backend as NativeBackend),
  });
}

/** The input of that name; ops always pass the ones that are not optional. */
function need(inputs: Inputs, name: string): tf.TensorInfo {
  const tensor = inputs[name];
  if (tensor === undefined) throw new Error(`The kernel's input ${name} is missing.`);
  return tensor;
}

function size2d(tensor: tf.TensorInfo): [number, number] {
  const [rows = 0, width = 0] = tensor.shape;
  return [rows, width];
}

interface Attention {
  batch: number;
  window: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  frequencies: Float32Array;
}

function attentionSizes({ frequencies, batch, window, heads, kvHeads, headDim }: Attention): AttentionSizes {
  return [frequencies, batch, window, heads, kvHeads, headDim];
}

interface Adam {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  decoupled: boolean;
  correction1: number;
  correction2: number;
  gradientScale: number;
}

/** Connects the fused ops (server/distill/ops) with the addon's functions. */
export function registerFusedKernels(): void {
  register<{ eps: number }>('OneBitSignLinear', (inputs, { eps }, b) => {
    const x = need(inputs, 'x');
    const latent = need(inputs, 'latent');
    const [rows, width] = size2d(x);
    const [outputs] = size2d(latent);
    const y = b.allocate([rows, outputs]);
    const inverse = b.allocate([rows]);
    const g = b.floats(need(inputs, 'g'));
    const h = b.floats(need(inputs, 'h'));
    b.kernels.signLinear(
      b.floats(x),
      b.floats(latent),
      g,
      h,
      eps,
      b.floats(y),
      b.floats(inverse),
      rows,
      width,
      outputs,
    );
    return [y, inverse];
  });
  register<{ straightThrough: StudentRecipe['straightThrough'] }>(
    'OneBitSignLinearGradient',
    (inputs, { straightThrough }, b) => {
      const names = ['dy', 'y', 'inverse', 'x', 'latent', 'g', 'h'];
      const [dy, y, inverse, x, latent, g, h] = names.map((name) => b.floats(need(inputs, name))) as [
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const [rows, width] = size2d(need(inputs, 'x'));
      const [outputs] = size2d(need(inputs, 'latent'));
      const gradients = [
        b.allocate([rows, width]),
        b.allocate([outputs, width]),
        b.allocate([width]),
        b.allocate([outputs]),
      ] as const;
      const [dx, dlatent, dg, dh] = gradients;
      b.kernels.signLinearGradient(
        dy,
        y,
        inverse,
        x,
        latent,
        g,
        h,
        straightThrough === 'tanh',
        b.floats(dx),
        b.floats(dlatent),
        b.floats(dg),
        b.floats(dh),
        rows,
        width,
        outputs,
        straightThrough === 'clipped',
      );
      return [...gradients];
    },
  );
  register('OneBitLinear', (inputs, _, b) => {
    const x = need(inputs, 'x');
    const weight = need(inputs, 'weight');
    const [rows, width] = size2d(x);
    const [outputs] = size2d(weight);
    const y = b.allocate([rows, outputs]);
    const bias = inputs['bias'] === undefined ? null : b.floats(inputs['bias']);
    b.kernels.linear(b.floats(x), b.floats(weight), bias, b.floats(y), rows, width, outputs);
    return [y];
  });
  register<{ weightGradient: boolean; biasGradient: boolean }>(
    'OneBitLinearGradient',
    (inputs, { weightGradient, biasGradient }, b) => {
      const x = need(inputs, 'x');
      const weight = need(inputs, 'weight');
      const [rows, width] = size2d(x);
      const [outputs] = size2d(weight);
      const dx = b.allocate([rows, width]);
      const dweight = weightGradient ? b.allocate([outputs, width]) : undefined;
      const dbias = biasGradient ? b.allocate([outputs]) : undefined;
      b.kernels.linearGradient(
        b.floats(need(inputs, 'dy')),
        b.floats(x),
        b.floats(weight),
        b.floats(dx),
        dweight === undefined ? null : b.floats(dweight),
        dbias === undefined ? null : b.floats(dbias),
        rows,
        width,
        outputs,
      );
      return [dx, dweight, dbias].filter((gradient) => gradient !== undefined);
    },
  );
  register<{ eps: number }>('OneBitRmsNorm', (inputs, { eps }, b) => {
    const x = need(inputs, 'x');
    const [rows, width] = size2d(x);
    const y = b.allocate([rows, width]);
    const inverse = b.allocate([rows]);
    const gain = b.floats(need(inputs, 'gain'));
    b.kernels.rmsNorm(b.floats(x), gain, eps, b.floats(y), b.floats(inverse), rows, width);
    return [y, inverse];
  });
  register<{ gainGradient: boolean }>('OneBitRmsNormGradient', (inputs, { gainGradient }, b) => {
    const x = need(inputs, 'x');
    const [rows, width] = size2d(x);
    const dx = b.allocate([rows, width]);
    const dgain = gainGradient ? b.allocate([width]) : undefined;
    b.kernels.rmsNormGradient(
      b.floats(need(inputs, 'dy')),
      b.floats(x),
      b.floats(need(inputs, 'gain')),
      b.floats(need(inputs, 'inverse')),
      b.floats(dx),
      dgain === undefined ? null : b.floats(dgain),
      rows,
      width,
    );
    return dgain === undefined ? [dx] : [dx, dgain];
  });
  register<{ window: number; headDim: number; frequencies: Float32Array; inverse: boolean }>(
    'OneBitRope',
    (inputs, { window, headDim, frequencies, inverse }, b) => {
      const x = need(inputs, 'x');
      const [rows, width] = size2d(x);
      const y = b.allocate([rows, width]);
      b.kernels.rope(b.floats(x), frequencies, inverse, b.floats(y), rows, width, window, headDim);
      return [y];
    },
  );
  register<Attention>('OneBitCausalAttention', (inputs, attributes, b) => {
    const q = need(inputs, 'q');
    const k = need(inputs, 'k');
    const v = need(inputs, 'v');
    const y = b.allocate(q.shape);
    const logSumExp = b.allocate([q.shape[0] ?? 0, attributes.heads]);
    const turnedQ = b.allocate(q.shape);
    const turnedK = b.allocate(k.shape);
    b.kernels.causalAttention(
      b.floats(q),
      b.floats(k),
      b.floats(v),
      b.floats(y),
      b.floats(logSumExp),
      b.floats(turnedQ),
      b.floats(turnedK),
      ...attentionSizes(attributes),
    );
    return [y, logSumExp, turnedQ, turnedK];
  });
  register<Attention>('OneBitCausalAttentionGradient', (inputs, attributes, b) => {
    const turnedQ = need(inputs, 'turnedQ');
    const turnedK = need(inputs, 'turnedK');
    const v = need(inputs, 'v');
    const dq = b.allocate(turnedQ.shape);
    const dk = b.allocate(turnedK.shape);
    const dv = b.allocate(v.shape);
    b.kernels.causalAttentionGradient(
      b.floats(need(inputs, 'dy')),
      b.floats(need(inputs, 'y')),
      b.floats(need(inputs, 'logSumExp')),
      b.floats(turnedQ),
      b.floats(turnedK),
      b.floats(v),
      b.floats(dq),
      b.floats(dk),
      b.floats(dv),
      ...attentionSizes(attributes),
    );
    return [dq, dk, dv];
  });
  register('OneBitSwiglu', (inputs, _, b) => {
    const gate = need(inputs, 'gate');
    const y = b.allocate(gate.shape);
    const out = b.floats(y);
    b.kernels.swiglu(b.floats(gate), b.floats(need(inputs, 'up')), out, out.length);
    return [y];
  });
  register('OneBitSwigluGradient', (inputs, _, b) => {
    const gate = need(inputs, 'gate');
    const dgate = b.allocate(gate.shape);
    const dup = b.allocate(gate.shape);
    const out = b.floats(dgate);
    const dy = b.floats(need(inputs, 'dy'));
    const up = b.floats(need(inputs, 'up'));
    b.kernels.swigluGradient(dy, b.floats(gate), up, out, b.floats(dup), out.length);
    return [dgate, dup];
  });
  register('OneBitEmbed', (inputs, _, b) => {
    const table = need(inputs, 'table');
    const ids = b.ints(need(inputs, 'ids'));
    const [vocab, width] = size2d(table);
    const y = b.allocate([ids.length, width]);
    b.kernels.embed(b.floats(table), ids, b.floats(y), ids.length, width, vocab);
    return [y];
  });
  register<{ vocab: number }>('OneBitEmbedGradient', (inputs, { vocab }, b) => {
    const dy = need(inputs, 'dy');
    const [rows, width] = size2d(dy);
    const dtable = b.allocate([vocab, width]);
    const ids = b.ints(need(inputs, 'ids'));
    b.kernels.embedGradient(b.floats(dy), ids, b.floats(dtable), rows, width, vocab);
    return [dtable];
  });
  register('OneBitCrossEntropy', (inputs, _, b) => {
    const logits = need(inputs, 'logits');
    const [rows, width] = size2d(logits);
    const labels = b.ints(need(inputs, 'labels'));
    const mask = inputs['mask'] === undefined ? null : b.floats(inputs['mask']);
    const logSumExp = b.allocate([rows]);
    const loss = b.kernels.crossEntropy(b.floats(logits), labels, mask, b.floats(logSumExp), rows, width);
    return [b.scalar(loss), logSumExp];
  });
  register('OneBitCrossEntropyGradient', (inputs, _, b) => {
    const logits = need(inputs, 'logits');
    const [rows, width] = size2d(logits);
    const dlogits = b.allocate([rows, width]);
    b.kernels.crossEntropyGradient(
      b.floats(need(inputs, 'dy'))[0] ?? NaN,
      b.floats(logits),
      b.ints(need(inputs, 'labels')),
      inputs['mask'] === undefined ? null : b.floats(inputs['mask']),
      b.floats(need(inputs, 'logSumExp')),
      b.floats(dlogits),
      rows,
      width,
    );
    return [dlogits];
  });
  register('OneBitSoftmaxKl', (inputs, _, b) => {
    const student = need(inputs, 'student');
    const [rows, width] = size2d(student);
    const teacherLog = b.allocate([rows]);
    const studentLog = b.allocate([rows]);
    const loss = b.kernels.softmaxKl(
      b.floats(need(inputs, 'teacher')),
      b.floats(student),
      b.floats(teacherLog),
      b.floats(studentLog),
      rows,
      width,
    );
    return [b.scalar(loss), teacherLog, studentLog];
  });
  register('OneBitSoftmaxKlGradient', (inputs, _, b) => {
    const student = need(inputs, 'student');
    const [rows, width] = size2d(student);
    const dstudent = b.allocate([rows, width]);
    b.kernels.softmaxKlGradient(
      b.floats(need(inputs, 'dy'))[0] ?? NaN,
      b.floats(need(inputs, 'teacher')),
      b.floats(student),
      b.floats(need(inputs, 'teacherLogSumExp')),
      b.floats(need(inputs, 'studentLogSumExp')),
      b.floats(dstudent),
      rows,
      width,
    );
    return [dstudent];
  });
  register('OneBitUnitDistance', (inputs, _, b) => {
    const first = need(inputs, 'a');
    const [rows, width] = size2d(first);
    return [b.scalar(b.kernels.unitDistance(b.floats(first), b.floats(need(inputs, 'b')), rows, width))];
  });
  register('OneBitUnitDistanceGradient', (inputs, _, b) => {
    const first = need(inputs, 'a');
    const [rows, width] = size2d(first);
    const da = b.allocate([rows, width]);
    const db = b.allocate([rows, width]);
    const dy = b.floats(need(inputs, 'dy'))[0] ?? NaN;
    const second = b.floats(need(inputs, 'b'));
    b.kernels.unitDistanceGradient(dy, b.floats(first), second, b.floats(da), b.floats(db), rows, width);
    return [da, db];
  });
  // Writes into the parameter and its moments, which the op has made sure nobody shares.
  register<Adam>('OneBitAdam', (inputs, options, b) => {
    const parameter = b.floats(need(inputs, 'parameter'));
    b.kernels.adam(
      parameter,
      b.floats(need(inputs, 'gradient')),
      b.floats(need(inputs, 'first')),
      b.floats(need(inputs, 'second')),
      parameter.length,
      options.learningRate,
      options.beta1,
      options.beta2,
      options.epsilon,
      options.weightDecay,
      options.decoupled,
      options.correction1,
      options.correction2,
      options.gradientScale,
    );
    return [];
  });
  register('OneBitSquaredNorm', (inputs, _, b) => {
    const x = b.floats(need(inputs, 'x'));
    return [b.scalar(b.kernels.squaredNorm(x, x.length))];
  });
}
