import { halfValue } from '../float-conversion.ts';

/**
 * The weights of whole blocks of a ggml type, as f32 (dequantize_row_* of llama.cpp's ggml-quants.c say what a block
 * means).
 */
export type Dequantise = (blocks: DataView, count: number, into: Float32Array) => void;

/** 32 weights: scale d (fp16), 32 signed bytes q: d q. */
const q8: Dequantise = (view, count, into) => {
  for (let b = 0; b < count; b++) {
    const d = half(view, b * 34);
    for (let i = 0; i < 32; i++) into[b * 32 + i] = d * view.getInt8(b * 34 + 2 + i);
  }
};

/** 32 weights: scale d (fp16), 16 bytes of two q each, the low four bits first half: d (q - 8). */
const q4: Dequantise = (view, count, into) => {
  for (let b = 0; b < count; b++) {
    const d = half(view, b * 18);
    for (let i = 0; i < 16; i++) {
      const pair = view.getUint8(b * 18 + 2 + i);
      into[b * 32 + i] = d * ((pair & 15) - 8);
      into[b * 32 + 16 + i] = d * ((pair >> 4) - 8);
    }
  }
};

/**
 * 256 weights in 8 groups of 32: d and dmin (fp16), 12 bytes of eight 6-bit scales s and minima m, 128 bytes of two q
 * each, a pair of groups in 32 bytes: d s q - dmin m.
 */
const q4K: Dequantise = (view, count, into) => {
  for (let b = 0; b < count; b++) {
    const at = b * 144;
    const [d, dmin] = [half(view, at), half(view, at + 2)];
    const scales = (i: number) => view.getUint8(at + 4 + i);
    for (let group = 0; group < 8; group++) {
      const [s, m] =
        group < 4
          ? [scales(group) & 63, scales(group + 4) & 63]
          : [
              (scales(group + 4) & 15) | ((scales(group - 4) >> 6) << 4),
              (scales(group + 4) >> 4) | ((scales(group) >> 6) << 4),
            ];
      const from = at + 16 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        into[b * 256 + group * 32 + i] = d * s * ((view.getUint8(from + i) >> shift) & 15) - dmin * m;
      }
    }
  }
};

/**
 * 256 weights: 128 bytes of low four bits, 64 bytes of high two bits, 16 signed scales s, d (fp16): d s (q - 32). Each
 * half of 128 weights has four runs of 32; runs 0 and 2 share bytes of low bits, and so do 1 and 3.
 */
const q6K: Dequantise = (view, count, into) => {
  for (let b = 0; b < count; b++) {
    const at = b * 210;
    const d = half(view, at + 208);
    for (let i = 0; i < 256; i++) {
      const [part, run, l] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = (view.getUint8(at + part * 64 + (run & 1) * 32 + l) >> (run >> 1 === 0 ? 0 : 4)) & 15;
      const high = (view.getUint8(at + 128 + part * 32 + l) >> (2 * run)) & 3;
      const s = view.getInt8(at + 192 + part * 8 + 2 * run + (l >> 4));
      into[b * 256 + i] = d * s * ((low | (high << 4)) - 32);
    }
  }
};

/** Types whose weights are computed; F32, F16 and BF16 are read as they are. */
export const dequantisers: ReadonlyMap<string, Dequantise> = new Map([
  ['Q8_0', q8],
  ['Q4_0', q4],
  ['Q4_K', q4K],
  ['Q6_K', q6K],
]);

function half(view: DataView, at: number): number {
  return halfValue(view.getUint16(at, true));
}
