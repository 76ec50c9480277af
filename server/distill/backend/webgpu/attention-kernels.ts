import type { tf } from '../tfjs.ts';
import { byNumber, byRow, countOf, matMul, need, register } from './shader.ts';
import causalSoftmaxSource from './shaders/causal-softmax.wgsl';
import causalSoftmaxGradientSource from './shaders/causal-softmax-gradient.wgsl';
import turnHeadsSource from './shaders/turn-heads.wgsl';
import type { TrainingWebgpuBackend } from './webgpu-backend.ts';

interface Attention {
  batch: number;
  window: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  frequencies: Float32Array;
}

const turnHeads = byNumber('turn-heads', turnHeadsSource);
const causalSoftmax = byRow('causal-softmax', causalSoftmaxSource);
const causalSoftmaxGradient = byRow('causal-softmax-gradient', causalSoftmaxGradientSource);

type Turn = 'none' | 'forth' | 'back';
const turns: Turn[] = ['none', 'forth', 'back'];

/** Where the heads of a tensor lie: in the rows of the model, or each head's positions side by side. */
type Layout = 'rows' | 'heads';

function turned(
  backend: TrainingWebgpuBackend,
  x: tf.TensorInfo,
  { window, headDim, frequencies }: Pick<Attention, 'window' | 'headDim' | 'frequencies'>,
  heads: number,
  turn: Turn,
  [from, to]: [Layout, Layout],
  shape: number[],
): tf.TensorInfo {
  const y = backend.allocate(shape);
  const pairs = countOf(x) / 2;
  const integers = [pairs, window, heads, headDim / 2, turns.indexOf(turn)];
  turnHeads(backend, pairs, {
    tensors: [y, x, angleTable(backend, window, headDim, frequencies)],
    integers: [...integers, Number(from === 'heads'), Number(to === 'heads')],
  });
  return y;
}

/** Cosine and sine of position · frequency, [window, headDim / 2, 2]. */
function angleTable(
  backend: TrainingWebgpuBackend,
  window: number,
  headDim: number,
  frequencies: Float32Array,
): tf.TensorInfo {
  const half = headDim / 2;
  return backend.constant(`angles ${window} ${frequencies.join(' ')}`, [window, half, 2], () => {
    const table = new Float32Array(window * headDim);
    for (let position = 0; position < window; position++) {
      for (let i = 0; i < half; i++) {
        const angle = position * (frequencies[i] ?? 0);
        table.set([Math.cos(angle), Math.sin(angle)], 2 * (position * half + i));
      }
    }
    return table;
  });
}

/**
 * Attention through tfjs's matrix products, with RoPE, the change of layout, and the softmax in shaders of ours. The
 * weights [batch · heads, window, window] live from the scores to the output only: the gradient makes them again.
 */
export function registerAttentionKernels(): void {
  register<Pick<Attention, 'window' | 'headDim' | 'frequencies'> & { inverse: boolean }>(
    'OneBitRope',
    (inputs, attributes, backend) => {
      const x = need(inputs, 'x');
      const heads = (x.shape[1] ?? 0) / attributes.headDim;
      const turn = attributes.inverse ? 'back' : 'forth';
      return [turned(backend, x, attributes, heads, turn, ['rows', 'rows'], x.shape)];
    },
  );
  register<Attention>('OneBitCausalAttention', (inputs, attributes, backend) => {
    const { batch, window, heads, kvHeads, headDim } = attributes;
    const q = need(inputs, 'q');
    // The query heads of one key head lie side by side: they are more rows against the same keys.
    const [ofQueries, ofKeys] = headShapes(attributes);
    const queries = turned(backend, q, attributes, heads, 'forth', ['rows', 'heads'], ofQueries);
    const keys = turned(backend, need(inputs, 'k'), attributes, kvHeads, 'forth', ['rows', 'heads'], ofKeys);
    const values = turned(backend, need(inputs, 'v'), attributes, kvHeads, 'none', ['rows', 'heads'], ofKeys);
    const weights = matMul(backend, queries, keys, false, true);
    const rows = batch * heads * window;
    const logSumExp = backend.allocate([rows]);
    causalSoftmax(backend, rows, window, {
      tensors: [weights, logSumExp],
      integers: [rows, window],
      floats: [1 / Math.sqrt(headDim)],
    });
    const mixed = matMul(backend, weights, values);
    const y = turned(backend, mixed, attributes, heads, 'none', ['heads', 'rows'], q.shape);
    backend.free(values, weights, mixed);
    return [y, logSumExp, queries, keys];
  });
  register<Attention>('OneBitCausalAttentionGradient', (inputs, attributes, backend) => {
    const { batch, window, heads, kvHeads, headDim } = attributes;
    const [dy, v] = [need(inputs, 'dy'), need(inputs, 'v')];
    const [queries, keys] = [need(inputs, 'turnedQ'), need(inputs, 'turnedK')];
    const [ofQueries, ofKeys] = headShapes(attributes);
    const dmixed = turned(backend, dy, attributes, heads, 'none', ['rows', 'heads'], ofQueries);
    const values = turned(backend, v, attributes, kvHeads, 'none', ['rows', 'heads'], ofKeys);
    const weights = matMul(backend, queries, keys, false, true);
    const dscores = matMul(backend, dmixed, values, false, true);
    const rows = batch * heads * window;
    causalSoftmaxGradient(backend, rows, window, {
      tensors: [weights, dscores, need(inputs, 'logSumExp')],
      integers: [rows, window],
      floats: [1 / Math.sqrt(headDim)],
    });
    const ofRows = (shape: number[], dx: tf.TensorInfo, of: number, turn: Turn): tf.TensorInfo => {
      const rowsOf = turned(backend, dx, attributes, of, turn, ['heads', 'rows'], shape);
      backend.free(dx);
      return rowsOf;
    };
    const dq = ofRows(dy.shape, matMul(backend, dscores, keys), heads, 'back');
    const dk = ofRows(v.shape, matMul(backend, dscores, queries, true, false), kvHeads, 'back');
    const dv = ofRows(v.shape, matMul(backend, weights, dmixed, true, false), kvHeads, 'none');
    backend.free(dmixed, values, weights, dscores);
    return [dq, dk, dv];
  });
}

function headShapes({ batch, window, heads, kvHeads, headDim }: Attention): [number[], number[]] {
  return [
    [batch * kvHeads, (heads / kvHeads) * window, headDim],
    [batch * kvHeads, window, headDim],
  ];
}
