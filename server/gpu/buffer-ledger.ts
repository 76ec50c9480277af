/** What a buffer is for: a part of the memory report, or what passes through. */
export type BufferPart =
  'signs' | 'values' | 'weights' | 'embedding' | 'head' | 'norms' | 'kv-cache' | 'scratch' | 'staging';

/**
 * The buffers of a device that are alive, with their parts. WebGPU never collects a buffer that was not
 * destroyed, so whatever is made here is found again.
 */
export class BufferLedger {
  /** Of this process, over all devices. */
  static readonly alive = { buffers: 0, bytes: 0 };

  private readonly parts = new Map<GPUBuffer, BufferPart>();

  constructor(private readonly device: GPUDevice) {}

  /**
   * A zeroed buffer; sizes are rounded up to 4 bytes, as copies need.
   * @param usage GPUBufferUsage flags
   */
  create(
    part: BufferPart,
    bytes: number,
    usage: GPUBufferUsageFlags,
    options: { label?: string; mappedAtCreation?: boolean } = {},
  ): GPUBuffer {
    const size = 4 * Math.ceil(bytes / 4);
    const buffer = this.device.createBuffer({ label: options.label ?? part, size, usage, ...options });
    this.parts.set(buffer, part);
    BufferLedger.alive.buffers++;
    BufferLedger.alive.bytes += buffer.size;
    return buffer;
  }

  /** Buffers that are alive. */
  get count(): number {
    return this.parts.size;
  }

  /** Bytes of the buffers of a part, or of all of them. */
  bytes(part?: BufferPart): number {
    let sum = 0;
    for (const [buffer, its] of this.parts) if (part === undefined || its === part) sum += buffer.size;
    return sum;
  }

  /** Bytes of every part that has a buffer. */
  bytesByPart(): Map<BufferPart, number> {
    const sums = new Map<BufferPart, number>();
    for (const [buffer, part] of this.parts) sums.set(part, (sums.get(part) ?? 0) + buffer.size);
    return sums;
  }

  /** Destroys buffers of this ledger; their memory returns with the next submit. */
  destroy(...buffers: GPUBuffer[]): void {
    for (const buffer of buffers) {
      if (!this.parts.delete(buffer)) continue;
      BufferLedger.alive.buffers--;
      BufferLedger.alive.bytes -= buffer.size;
      buffer.destroy();
    }
  }

  /** Destroys all buffers and submits once: `destroy` alone gives no memory back until a submit. */
  release(): void {
    this.destroy(...this.parts.keys());
    this.device.queue.submit([]);
  }
}
