import type { GpuDevice } from '../../gpu/device.ts';
import type { maxTop } from './buffer-plan.ts';
import type { ModelPrograms } from './model-programs.ts';

/** What the commands of a step depend on, beside what stands in its buffers. */
export interface StepShape {
  /** Rows that go through the layers; 0 where they have run. */
  rows: number;
  /** Positions that the row with the longest context attends to. */
  positions: number;
  /** Rows whose logits are made. */
  wanted: number;
  /** Most likely tokens that are looked for. */
  top: 0 | 1 | typeof maxTop;
  /** Whether the logits themselves are read back. */
  readsLogits: boolean;
}

/**
 * Dispatches of the first command buffer, with which the GPU begins while the next is encoded; each one after it has twice as
 * many as the last.
 */
const firstDispatches = 20;

/**
 * Encodes and submits steps. Encoding LLaMA-7B's takes as long as a large card needs to run it, so a step is submitted in
 * pieces, and while the GPU runs it the next one is encoded, in the shape that it most likely has.
 */
export class StepCommands {
  private prepared: { key: string; buffers: GPUCommandBuffer[] } | undefined;

  constructor(
    private readonly gpu: GpuDevice,
    private readonly programs: ModelPrograms,
    private readonly vocabSize: number,
  ) {}

  submit(step: StepShape): void {
    const { queue } = this.gpu;
    const prepared = this.prepared?.key === this.key(step) ? this.prepared.buffers : undefined;
    this.prepared = undefined;
    for (const buffer of prepared ?? this.encode(step)) queue.submit([buffer]);
  }

  /** Encodes a step that is expected to be the next. */
  prepare(step: StepShape): void {
    this.prepared = { key: this.key(step), buffers: [...this.encode(step)] };
  }

  /** Bytes of what the step leaves in `readTop` and in `readLogits`. */
  readBytes({ wanted, top, readsLogits }: StepShape): { top: number; logits: number } {
    return {
      top: top === 0 ? 0 : 8 * wanted * (1 + top),
      logits: readsLogits ? 4 * wanted * this.vocabSize : 0,
    };
  }

  /** Steps of one key have the same commands. */
  private key({ rows, positions, wanted, top, readsLogits }: StepShape): string {
    return [rows, this.programs.attentionParts(rows, positions), wanted, top, readsLogits].join();
  }

  private *encode(step: StepShape): Generator<GPUCommandBuffer> {
    const { device } = this.gpu;
    const { rows, positions, wanted, top } = step;
    const programs = [
      ...(rows > 0 ? [{ program: this.programs.layers(rows, positions), rows }] : []),
      ...(wanted > 0 ? [{ program: this.programs.head(wanted), rows: wanted }] : []),
      ...(top === 0 ? [] : [{ program: this.programs.search(top), rows: wanted }]),
    ];
    let encoder = device.createCommandEncoder();
    let pass = encoder.beginComputePass();
    let most = firstDispatches;
    let room = most;
    for (const { program, rows } of programs) {
      for (let first = 0; first < program.length;) {
        if (room === 0) {
          pass.end();
          yield encoder.finish();
          encoder = device.createCommandEncoder();
          pass = encoder.beginComputePass();
          most *= 2;
          room = most;
        }
        const end = Math.min(program.length, first + room);
        program.encode(pass, { rows, positions, first, end });
        room -= end - first;
        first = end;
      }
    }
    pass.end();
    const bytes = this.readBytes(step);
    const copy = (from: string, to: string, size: number) => {
      if (size > 0) {
        encoder.copyBufferToBuffer(this.programs.buffer(from), 0, this.programs.buffer(to), 0, size);
      }
    };
    copy('top', 'readTop', bytes.top);
    copy('logits', 'readLogits', bytes.logits);
    yield encoder.finish();
  }
}
