import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { elementCount } from '../checkpoint/dtype.ts';
import { projections, projectionShape } from '../checkpoint/model-config.ts';

export interface Footprint {
  /** Of all tensors. */
  bytes: number;
  /** Bits a weight of the seven linears of the blocks, their vectors of values included, biases not. */
  bitsPerWeight: number;
}

const halfBytes = 2;

/**
 * How large a model is: as stored if it is full precision or packed; packed with fp16 values if its linears are
 * latent weights of training.
 */
export function footprintOf(checkpoint: Checkpoint): Footprint {
  if (checkpoint.kind === 'onebit-training') return packedFootprint(checkpoint, 'g and h');
  let [bytes, ofLinears] = [0, 0];
  for (const [name, { byteLength }] of checkpoint.tensors) {
    bytes += byteLength;
    if (isOfLinear(name)) ofLinears += byteLength;
  }
  return { bytes, bitsPerWeight: (8 * ofLinears) / linearWeights(checkpoint) };
}

/**
 * How large it would be with packed signs and everything else in fp16.
 * @param values a layer's vectors: OneBit's two, or a scale a row
 */
export function packedFootprint(checkpoint: Checkpoint, values: 'g and h' | 'row scales'): Footprint {
  const { config } = checkpoint;
  let ofLinears = 0;
  for (const projection of projections) {
    const [out, inner] = projectionShape(config, projection);
    const scales = values === 'g and h' ? out + inner : out;
    ofLinears += config.layers * ((out * inner) / 8 + halfBytes * scales);
  }
  let bytes = ofLinears;
  for (const [name, { shape }] of checkpoint.tensors) {
    if (!isOfLinear(name)) bytes += halfBytes * (elementCount(shape) ?? 0);
  }
  return { bytes, bitsPerWeight: (8 * ofLinears) / linearWeights(checkpoint) };
}

function linearWeights({ config }: Checkpoint): number {
  const block = projections.reduce((sum, projection) => {
    const [out, inner] = projectionShape(config, projection);
    return sum + out * inner;
  }, 0);
  return config.layers * block;
}

/** Whether a tensor is a linear's matrix or one of its vectors of values; its bias counts as outside. */
function isOfLinear(name: string): boolean {
  return projections.some((projection) => {
    const [, part] = name.split(`.${projection}.`);
    return part === 'weight' || part === 'weight_scale' || part === 'input_factor';
  });
}
