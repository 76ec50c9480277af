import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Changes the F32 tensors of a folder's model.safetensors in place: for a model of known weights that is not in
 * the ordinary way random. Shares no code with server/.
 * @param edit gets each tensor's name, shape and values (row-major) and writes into the values
 */
export function editTensors(
  folder: string,
  edit: (name: string, shape: readonly number[], values: Float32Array) => void,
): void {
  const path = join(folder, 'model.safetensors');
  const file = readFileSync(path);
  const data = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, data)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (dtype !== 'F32') continue;
    const at = data + offsets[0];
    const count = (offsets[1] - offsets[0]) / 4;
    const values = Float32Array.from({ length: count }, (_, i) => file.readFloatLE(at + 4 * i));
    edit(name, shape, values);
    values.forEach((value, i) => file.writeFloatLE(value, at + 4 * i));
  }
  writeFileSync(path, file);
}
