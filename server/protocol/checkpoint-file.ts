import { z } from './schema.ts';
import type { Progress } from './progress.ts';

const path = z.string().min(1).max(4096);

/** `checkpoint-file/open`: what the header of a .safetensors or .gguf file says. */
export const checkpointFileParamsSchema = z.object({ path });
export type CheckpointFileParams = z.infer<typeof checkpointFileParamsSchema>;

export interface CheckpointFileSummary {
  path: string;
  format: 'safetensors' | 'gguf';
  /** Of the file. */
  bytes: number;
  tensors: number;
  /** Elements of all tensors: a byte of packed signs counts as one. */
  elements: number;
  /** Most bytes first. */
  types: { type: string; tensors: number; bytes: number }[];
  /** In the file's order, at most `maxMetadata`. */
  metadata: { key: string; value: string }[];
  metadataCount: number;
  /** What the tensors' names tell; absent where they are no LLaMA's. */
  kind?: 'full' | 'onebit';
}

/** Metadata entries that are sent, and characters of a value. */
export const maxMetadata = 500;
export const maxMetadataValue = 2000;

export const tensorColumns = ['position', 'name', 'shape', 'type', 'bytes'] as const;
export type TensorColumn = (typeof tensorColumns)[number];

/** Rows that one answer holds at most. */
export const maxTensorRows = 500;

/** `checkpoint-file/tensors`: a piece of the list of tensors, as searched and sorted. */
export const checkpointTensorsParamsSchema = z.object({
  path,
  /** Words that must all be in a tensor's name, type or shape, whatever their case. */
  search: z.string().max(200).default(''),
  sort: z.enum(tensorColumns).default('position'),
  descending: z.boolean().default(false),
  from: z.number().int().min(0),
  count: z.number().int().min(1).max(maxTensorRows),
});
export type CheckpointTensorsParams = z.input<typeof checkpointTensorsParamsSchema>;

export interface TensorRow {
  /** Names are unique in a file. */
  name: string;
  /** As the file's format calls it: F16, BF16, Q4_0 … */
  type: string;
  /** Outermost dimension first. */
  shape: number[];
  bytes: number;
  /** Of its first byte in the file. */
  offset: number;
}

export interface CheckpointTensors {
  /** Of the rows that the search leaves. */
  total: number;
  from: number;
  rows: TensorRow[];
}

/** `checkpoint-file/statistics`: reads one tensor from end to end; sends `checkpoint-file/progress` meanwhile. */
export const tensorStatisticsParamsSchema = z.object({
  /** Chosen by the client; names the request in its progress. */
  id: z.string().min(1).max(100),
  path,
  name: z.string().min(1).max(65_536),
});
export type TensorStatisticsParams = z.infer<typeof tensorStatisticsParamsSchema>;

export interface TensorStatistics {
  name: string;
  /** Elements, and those of them that are numbers: not NaN, not infinite. The rest is about these. */
  count: number;
  finite: number;
  nan: number;
  infinite: number;
  zeros: number;
  negative: number;
  min: number;
  max: number;
  mean: number;
  /** Of the whole tensor: the root of the mean squared distance from the mean. */
  std: number;
  /** Root mean square. */
  rms: number;
  /** Values other than zero by size: 2^power ≤ |value| < 2^(power + 1). Rising, without gaps. */
  magnitudes: { power: number; negative: number; positive: number }[];
  /** Of bytes (U8, I8), which may hold packed signs: the share of bits that are 1, which stand for −1. */
  bitShare?: number;
}

export interface CheckpointFileProgress {
  id: string;
  progress: Progress;
}
