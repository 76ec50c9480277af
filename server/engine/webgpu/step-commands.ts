import type { GpuDevice } from '../../gpu/device.ts';
import type { ModelPrograms, StepProgram, StepShape } from './model-programs.ts';

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

  /** @throws OneBitError internal for a kernel that the driver does not compile */
  async submit(step: StepShape): Promise<void> {
    const programs = await this.programs.ofStep(step);
    const { queue } = this.gpu;
    const prepared = this.prepared?.key === this.key(step) ? this.prepared.buffers : undefined;
    this.prepared = undefined;
    for (const buffer of prepared ?? this.encode(step, programs)) queue.submit([buffer]);
  }

  /** Encodes a step that is expected to be the next, where its programs are compiled. */
  prepare(step: StepShape): void {
    const programs = this.programs.compiledOfStep(step);
    if (programs === undefined) return;
    this.prepared = { key: this.key(step), buffers: [...this.encode(step, programs)] };
  }

  /** Bytes of what the step leaves in `readTop` and in `readLogits`. */
  readBytes({ wanted, top, readsLogits }: StepShape): { top: number; logits: number } {
    return {
      top: top === 0 ? 0 : 8 * wanted * (1 + top),
      logits: readsLogits ? 4 * wanted * this.vocabSize : 0,
    };
  }

  /** Steps of one key have the same commands. */
  private key(step: StepShape): string {
    const { rows, wanted, top, readsLogits } = step;
    return [rows, this.programs.attentionParts(step), wanted, top, readsLogits].join();
  }

  private *encode(step: StepShape, programs: StepProgram[]): Generator<GPUCommandBuffer> {
    const { device } = this.gpu;
    const { positions } = step;
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
