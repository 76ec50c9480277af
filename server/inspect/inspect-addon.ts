import { nativeAddon, type NativeAddon } from '../native/addon.ts';

/** The inspector's passes over a matrix in native code (server/native/inspect); each runs off the main thread. */
export interface InspectAddon extends NativeAddon {
  inspectCount(
    signs: Uint8Array,
    rows: number,
    columns: number,
  ): Promise<{ rows: Uint32Array; columns: Uint32Array }>;
  inspectCompare(
    weights: Uint8Array,
    type: number,
    rows: number,
    columns: number,
    signs: Uint8Array,
    g: Float32Array,
    h: Float32Array,
  ): Promise<{ error: number; total: number; product: number; different: number; absolute: Float64Array }>;
  /** @param scale a power of two near one over a typical weight */
  inspectStep(
    weights: Uint8Array,
    type: number,
    rows: number,
    columns: number,
    v: Float32Array,
    scale: number,
  ): Promise<{ squares: number; product: Float64Array }>;
  /** @param part of the root mean square under which a weight is near zero */
  inspectLatent(
    weights: Uint8Array,
    type: number,
    rows: number,
    columns: number,
    part: number,
  ): Promise<{ signs: Uint8Array; squares: number; nearZero: number }>;
}

/** The addon, or undefined where there is none, or one that was built before it had these passes. */
export function inspectAddon(): InspectAddon | undefined {
  const addon = nativeAddon<InspectAddon>();
  return typeof addon?.inspectCount === 'function' ? addon : undefined;
}
