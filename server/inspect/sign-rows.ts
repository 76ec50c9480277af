import { setImmediate } from 'node:timers/promises';
import type { TensorInfo } from '../checkpoint/checkpoint.ts';
import { dtypeBytes, isFloatDtype, type FloatDtype } from '../checkpoint/dtype.ts';
import { projections, type Projection } from '../checkpoint/model-config.ts';
import { OneBitError, throwIfCancelled } from '../protocol/error.ts';
import type { FloatRows } from '../svid/float-rows.ts';
import { latentSigns } from './latent-weights.ts';
import type { InspectedCheckpoint } from './run-files.ts';

/** One of the seven linears of a block. */
export interface MatrixName {
  /** e.g. model.layers.0.self_attn.q_proj */
  name: string;
  layer: number;
  projection: Projection;
}

/** The matrices of a model that are (or would become) 1-bit, in order. */
export function matrixNames({ tensors }: Pick<InspectedCheckpoint, 'tensors'>): MatrixName[] {
  const names: MatrixName[] = [];
  for (const tensor of tensors.keys()) {
    const [, name = '', layer, rest] = /^(model\.layers\.(\d+)\.(.+))\.weight$/.exec(tensor) ?? [];
    const projection = projections.find((one) => one === rest);
    if (projection !== undefined) names.push({ name, layer: Number(layer), projection });
  }
  const order = ({ layer, projection }: MatrixName) => 7 * layer + projections.indexOf(projection);
  return names.sort((a, b) => order(a) - order(b));
}

/** Weights in hand at a time, so that memory does not grow with the matrix and the event loop breathes. */
const blockWeights = 1 << 20;

/** A matrix of a checkpoint of any kind, read in blocks of rows. */
export class MatrixRows {
  readonly rows: number;
  readonly columns: number;
  private readonly info: TensorInfo;

  /** @param name without `.weight`. @throws bad-request when the model has no such matrix */
  constructor(
    private readonly checkpoint: InspectedCheckpoint,
    readonly name: string,
  ) {
    const info = checkpoint.tensors.get(`${name}.weight`);
    if (info?.shape.length !== 2 || !matrixNames(checkpoint).some((matrix) => matrix.name === name)) {
      throw new OneBitError(
        'bad-request',
        `${checkpoint.path} has no matrix ${name.slice(0, 100)}: give a name such as model.layers.0.self_attn.q_proj.`,
      );
    }
    this.info = info;
    this.rows = info.shape[0] as number;
    this.columns = (info.shape[1] as number) * (checkpoint.kind === 'onebit' ? 8 : 1);
  }

  /** Packed signs (1 = −1) of rows `[first, last)`, whatever the model's kind. */
  async signs(first: number, last: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (this.checkpoint.kind === 'onebit') return this.bytes(first, last, signal);
    const weights = { bytes: await this.bytes(first, last, signal), dtype: this.floatDtype() };
    return (await latentSigns(weights, last - first, this.columns, this.info.name)).signs.bytes;
  }

  /** The whole matrix as it is stored; of a model whose weights are floats. */
  async stored(signal?: AbortSignal): Promise<FloatRows> {
    return { bytes: await this.bytes(0, this.rows, signal), dtype: this.floatDtype() };
  }

  /** Calls `visit` for one block of rows after another; lets the event loop breathe in between. */
  async eachBlock(
    first: number,
    last: number,
    visit: (first: number, last: number) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const step = Math.max(1, Math.floor(blockWeights / this.columns));
    for (let row = first; row < last; row += step) {
      throwIfCancelled(signal);
      await visit(row, Math.min(last, row + step));
      await setImmediate();
    }
  }

  private floatDtype(): FloatDtype {
    const { dtype, name } = this.info;
    if (isFloatDtype(dtype)) return dtype;
    throw new OneBitError('internal', `${name} is ${dtype}, not floats.`);
  }

  private async bytes(first: number, last: number, signal?: AbortSignal): Promise<Uint8Array> {
    const rowBytes = (this.info.shape[1] as number) * dtypeBytes[this.info.dtype];
    const bytes = new Uint8Array((last - first) * rowBytes);
    await this.checkpoint.readInto(this.info.name, bytes, first * rowBytes, signal);
    return bytes;
  }
}
