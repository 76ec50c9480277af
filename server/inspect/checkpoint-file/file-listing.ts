import { extname } from 'node:path';
import { DataFile } from '../../checkpoint/data-file.ts';
import { dtypeBytes } from '../../checkpoint/dtype.ts';
import { readGgufHeader, type GgufValue } from '../../checkpoint/gguf/gguf-header.ts';
import { readSafetensors } from '../../checkpoint/safetensors-header.ts';
import {
  maxMetadata,
  maxMetadataValue,
  type CheckpointFileSummary,
  type TensorRow,
} from '../../protocol/checkpoint-file.ts';
import { OneBitError } from '../../protocol/error.ts';

/** A file's header, as people look at it. */
export interface FileListing {
  summary: CheckpointFileSummary;
  /** In the order of the file. */
  tensors: TensorRow[];
  byName: ReadonlyMap<string, TensorRow>;
}

/** The format's dtypes of whole bytes: also those that no model of ours may have can be looked at. */
const listedDtypes: Readonly<Record<string, number>> = {
  ...dtypeBytes,
  U16: 2,
  U32: 4,
  U64: 8,
  C64: 8,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
};

/**
 * Reads and checks the header of a .safetensors or .gguf file; no tensor is read.
 * @throws bad-file (what the format's reader found), unsupported (another extension, a type that is not known),
 *   not-found, unreadable
 */
export async function readFileListing(path: string, signal?: AbortSignal): Promise<FileListing> {
  const extension = extname(path).toLowerCase();
  if (extension !== '.safetensors' && extension !== '.gguf') {
    throw new OneBitError('unsupported', `${path} is no .safetensors and no .gguf file.`);
  }
  const file = await DataFile.open(path);
  try {
    return extension === '.gguf' ? await listGguf(file, signal) : await listSafetensors(file, signal);
  } finally {
    await file.close();
  }
}

async function listSafetensors(file: DataFile, signal?: AbortSignal): Promise<FileListing> {
  const { tensors, metadata } = await readSafetensors(file, listedDtypes, signal);
  return listing(
    file,
    'safetensors',
    tensors.map(({ name, dtype, shape, byteLength, offset }) => ({
      name,
      type: dtype,
      shape,
      bytes: byteLength,
      offset,
    })),
    Object.entries(metadata),
  );
}

async function listGguf(file: DataFile, signal?: AbortSignal): Promise<FileListing> {
  const { version, tensors, metadata } = await readGgufHeader(file, signal);
  return listing(
    file,
    'gguf',
    tensors.map(({ name, type, shape, byteLength, offset }) => ({
      name,
      type: type.name,
      shape,
      bytes: byteLength,
      offset,
    })),
    [['GGUF version', version], ...metadata],
  );
}

function listing(
  file: DataFile,
  format: CheckpointFileSummary['format'],
  tensors: TensorRow[],
  metadata: readonly (readonly [string, GgufValue])[],
): FileListing {
  const types = new Map<string, { type: string; tensors: number; bytes: number }>();
  let elements = 0;
  for (const { type, bytes, shape } of tensors) {
    const sum = types.get(type) ?? { type, tensors: 0, bytes: 0 };
    types.set(type, { type, tensors: sum.tensors + 1, bytes: sum.bytes + bytes });
    elements += shape.reduce((product, size) => product * size, 1);
  }
  return {
    summary: {
      path: file.path,
      format,
      bytes: file.size,
      tensors: tensors.length,
      elements,
      types: [...types.values()].sort((a, b) => b.bytes - a.bytes),
      metadata: metadata
        .slice(0, maxMetadata)
        .map(([key, value]) => ({ key: cut(key, 200), value: cut(valueText(value), maxMetadataValue) })),
      metadataCount: metadata.length,
      kind: kindOf(tensors),
    },
    tensors,
    byName: new Map(tensors.map((tensor) => [tensor.name, tensor])),
  };
}

/** By the names of one projection: 1-bit ones have a g beside them. */
function kindOf(tensors: readonly TensorRow[]): CheckpointFileSummary['kind'] {
  let full = false;
  for (const { name } of tensors) {
    if (name.endsWith('.input_factor')) return 'onebit';
    full ||= /(^|\.)(self_attn\.q_proj|attn_q)\.weight$/.test(name);
  }
  return full ? 'full' : undefined;
}

/** Lists with their length and first elements: a vocabulary has a hundred thousand. */
function valueText(value: GgufValue): string {
  if (!Array.isArray(value)) return String(value);
  const first = value.slice(0, 16).map((one) => (Array.isArray(one) ? `[${one.length}]` : String(one)));
  return `${value.length} values: ${first.join(', ')}${value.length > 16 ? ', …' : ''}`;
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
