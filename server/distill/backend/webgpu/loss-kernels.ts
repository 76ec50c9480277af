import { byNumber, byRow, countOf, filled, need, register, sizeOf } from './shader.ts';
import adamSource from './shaders/adam.wgsl';
import crossEntropySource from './shaders/cross-entropy.wgsl';
import crossEntropyGradientSource from './shaders/cross-entropy-gradient.wgsl';
import softmaxKlSource from './shaders/softmax-kl.wgsl';
import softmaxKlGradientSource from './shaders/softmax-kl-gradient.wgsl';
import squaresSource from './shaders/squares.wgsl';
import sumSource from './shaders/sum.wgsl';
import unitDistanceSource from './shaders/unit-distance.wgsl';
import unitDistanceGradientSource from './shaders/unit-distance-gradient.wgsl';
import weightedMeanSource from './shaders/weighted-mean.wgsl';

const crossEntropy = byRow('cross-entropy', crossEntropySource);
const crossEntropyGradient = byRow('cross-entropy-gradient', crossEntropyGradientSource);
const softmaxKl = byRow('softmax-kl', softmaxKlSource);
const softmaxKlGradient = byNumber('softmax-kl-gradient', softmaxKlGradientSource);
const unitDistance = byRow('unit-distance', unitDistanceSource);
const unitDistanceGradient = byRow('unit-distance-gradient', unitDistanceGradientSource);
const weightedMean = byRow('weighted-mean', weightedMeanSource);
const sum = byRow('sum', sumSource);
const squares = byRow('squares', squaresSource);
const adam = byNumber('adam', adamSource);

/** Workgroups that sum squares; more would only leave more sums to add up. */
const mostSums = 256;

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

/** The kernels of the losses and of the optimizer. */
export function registerLossKernels(): void {
  register('OneBitCrossEntropy', (inputs, _, backend) => {
    const [logits, labels] = [need(inputs, 'logits'), need(inputs, 'labels')];
    const [rows, width] = sizeOf(logits);
    const weights = inputs['mask'] ?? filled(backend, [rows], 1);
    const [losses, logSumExp] = [backend.allocate([rows]), backend.allocate([rows])];
    crossEntropy(backend, rows, width, {
      tensors: [losses, logSumExp, logits, labels, weights],
      integers: [rows, width],
    });
    const mean = backend.allocate([]);
    weightedMean(backend, 1, rows, { tensors: [mean, losses, weights], integers: [rows] });
    backend.free(losses);
    if (inputs['mask'] === undefined) backend.free(weights);
    return [mean, logSumExp];
  });
  register('OneBitCrossEntropyGradient', (inputs, _, backend) => {
    const logits = need(inputs, 'logits');
    const [rows, width] = sizeOf(logits);
    const weights = inputs['mask'] ?? filled(backend, [rows], 1);
    const dlogits = backend.allocate([rows, width]);
    const given = [need(inputs, 'dy'), logits, need(inputs, 'labels'), weights, need(inputs, 'logSumExp')];
    crossEntropyGradient(backend, rows, width, { tensors: [dlogits, ...given], integers: [rows, width] });
    if (inputs['mask'] === undefined) backend.free(weights);
    return [dlogits];
  });
  register('OneBitSoftmaxKl', (inputs, _, backend) => {
    const [teacher, student] = [need(inputs, 'teacher'), need(inputs, 'student')];
    const [rows, width] = sizeOf(student);
    const [losses, mean] = [backend.allocate([rows]), backend.allocate([])];
    const [teacherLog, studentLog] = [backend.allocate([rows]), backend.allocate([rows])];
    softmaxKl(backend, rows, width, {
      tensors: [losses, teacherLog, studentLog, teacher, student],
      integers: [rows, width],
    });
    sum(backend, 1, rows, { tensors: [mean, losses], integers: [rows], floats: [1 / rows] });
    backend.free(losses);
    return [mean, teacherLog, studentLog];
  });
  register('OneBitSoftmaxKlGradient', (inputs, _, backend) => {
    const names = ['dy', 'teacher', 'student', 'teacherLogSumExp', 'studentLogSumExp'];
    const given = names.map((name) => need(inputs, name));
    const [rows, width] = sizeOf(need(inputs, 'student'));
    const dstudent = backend.allocate([rows, width]);
    softmaxKlGradient(backend, rows * width, {
      tensors: [dstudent, ...given],
      integers: [rows * width, width, rows],
    });
    return [dstudent];
  });
  register('OneBitUnitDistance', (inputs, _, backend) => {
    const [a, b] = [need(inputs, 'a'), need(inputs, 'b')];
    const [rows, width] = sizeOf(a);
    const [losses, mean] = [backend.allocate([rows]), backend.allocate([])];
    unitDistance(backend, rows, width, { tensors: [losses, a, b], integers: [rows, width] });
    sum(backend, 1, rows, { tensors: [mean, losses], integers: [rows], floats: [1 / rows] });
    backend.free(losses);
    return [mean];
  });
  register('OneBitUnitDistanceGradient', (inputs, _, backend) => {
    const [dy, a, b] = [need(inputs, 'dy'), need(inputs, 'a'), need(inputs, 'b')];
    const [rows, width] = sizeOf(a);
    const [da, db] = [backend.allocate([rows, width]), backend.allocate([rows, width])];
    unitDistanceGradient(backend, rows, width, { tensors: [da, db, dy, a, b], integers: [rows, width] });
    return [da, db];
  });
  // Writes into the parameter and its moments, which the op has made sure nobody shares.
  register<Adam>('OneBitAdam', (inputs, options, backend) => {
    const names = ['parameter', 'first', 'second', 'gradient'];
    const tensors = names.map((name) => need(inputs, name));
    const size = countOf(need(inputs, 'parameter'));
    const { learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2 } = options;
    adam(backend, size, {
      tensors,
      integers: [size, Number(options.decoupled)],
      floats: [
        ...[learningRate, beta1, beta2, 1 - beta1, 1 - beta2, epsilon],
        ...[weightDecay, correction1, correction2, options.gradientScale],
      ],
    });
    return [];
  });
  register('OneBitSquaredNorm', (inputs, _, backend) => {
    const x = need(inputs, 'x');
    const size = countOf(x);
    const groups = Math.min(mostSums, Math.ceil(size / 256));
    const [sums, total] = [backend.allocate([groups]), backend.allocate([])];
    squares(backend, groups, size, { tensors: [sums, x], integers: [size] });
    sum(backend, 1, groups, { tensors: [total, sums], integers: [groups], floats: [1] });
    backend.free(sums);
    return [total];
  });
}
