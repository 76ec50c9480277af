import { Random } from '../random.ts';
import { asSet, jaccard, shingleHashes } from './shingles.ts';

/**
 * Texts whose sets of shingles have at least this Jaccard similarity are near duplicates. 0.7 is what The
 * Stack uses for code; a copied file with one in twenty lines changed is above it, two files that share
 * licence and imports are far below.
 */
export const nearDuplicateSimilarity = 0.7;

/**
 * 25 bands of 5 minima: two texts become candidates if all minima of a band agree, which happens with
 * probability 1 − (1 − s⁵)²⁵: 99% at a similarity s of 0.7, 99.9% at 0.75, 6% at 0.3. Every candidate is
 * then compared exactly, so that only a miss is left to chance, never a loss.
 */
const bands = 25;
const bandMinima = 5;
const minima = bands * bandMinima;
/** Four standard deviations of the estimate √(s(1 − s) / 125): below this a candidate is not compared. */
const hopeless = nearDuplicateSimilarity - 0.16;

/** A text's MinHash signature (Broder 1997), to look for it in an index and to add it there. */
export interface Sketch {
  text: string;
  /** i32, [125]: of each of 125 hash functions the least value over the shingles. */
  signature: Int32Array;
}

/**
 * Finds near duplicates among many texts (locality-sensitive hashing of MinHash signatures, Indyk and
 * Motwani 1998). The same seed and texts give the same answers. Beside the texts themselves, which it does
 * not copy, it holds about 700 bytes a text.
 */
export class NearDuplicateIndex {
  private readonly multipliers = new Int32Array(minima);
  private readonly offsets = new Int32Array(minima);
  private readonly texts: string[] = [];
  /** Low halves of the signatures, for the estimate. */
  private readonly signatures: Uint16Array[] = [];
  /** Entry e is band e mod 25 of text ⌊e / 25⌋. Entries whose keys share a bucket are chained, newest first. */
  private keys = new Uint32Array(1 << 12);
  private next = new Int32Array(1 << 12);
  private buckets = new Int32Array(1 << 12).fill(-1);
  private entries = 0;

  constructor(seed: number) {
    const random = new Random(seed, 'min-hash');
    for (let k = 0; k < minima; k++) {
      this.multipliers[k] = random.next() | 1;
      this.offsets[k] = random.next();
    }
  }

  sketch(text: string): Sketch {
    const hashes = new Int32Array(shingleHashes(text).buffer);
    const signature = new Int32Array(minima);
    for (let k = 0; k < minima; k++) {
      const [multiplier, offset] = [this.multipliers[k] as number, this.offsets[k] as number];
      let least = 0x7fffffff;
      for (let i = 0; i < hashes.length; i++) {
        const value = (Math.imul(hashes[i] as number, multiplier) + offset) | 0;
        if (value < least) least = value;
      }
      signature[k] = least;
    }
    return { text, signature };
  }

  /** Places, in the order of adding, of the texts that are near duplicates of this one; an exact copy is one. */
  *similar({ text, signature }: Sketch): Generator<number> {
    const looked = new Set<number>();
    let own: Uint32Array | undefined;
    for (let band = 0; band < bands; band++) {
      const key = bandKey(signature, band);
      for (let e = this.buckets[key & (this.buckets.length - 1)] ?? -1; e >= 0; e = this.next[e] ?? -1) {
        const place = Math.floor(e / bands);
        if (this.keys[e] !== key || looked.has(place)) continue;
        looked.add(place);
        const other = this.signatures[place];
        if (other === undefined || agreement(other, signature) < hopeless) continue;
        own ??= asSet(shingleHashes(text));
        const similarity = jaccard(own, asSet(shingleHashes(this.texts[place] ?? '')));
        if (similarity >= nearDuplicateSimilarity) yield place;
      }
    }
  }

  add({ text, signature }: Sketch): void {
    this.texts.push(text);
    this.signatures.push(Uint16Array.from(signature, (value) => value & 0xffff));
    for (let band = 0; band < bands; band++) {
      if (this.entries === this.keys.length) this.grow();
      this.keys[this.entries] = bandKey(signature, band);
      this.chain(this.entries++);
    }
  }

  private chain(entry: number): void {
    const bucket = (this.keys[entry] ?? 0) & (this.buckets.length - 1);
    this.next[entry] = this.buckets[bucket] ?? -1;
    this.buckets[bucket] = entry;
  }

  private grow(): void {
    const size = 2 * this.keys.length;
    const { keys } = this;
    this.keys = new Uint32Array(size);
    this.keys.set(keys);
    this.next = new Int32Array(size);
    this.buckets = new Int32Array(size).fill(-1);
    for (let entry = 0; entry < this.entries; entry++) this.chain(entry);
  }
}

/** The share of minima that agree: an unbiased estimate of the similarity. */
function agreement(halves: Uint16Array, signature: Int32Array): number {
  let equal = 0;
  for (let k = 0; k < minima; k++) if (halves[k] === ((signature[k] as number) & 0xffff)) equal++;
  return equal / minima;
}

function bandKey(signature: Int32Array, band: number): number {
  let key = band + 1;
  for (let k = band * bandMinima; k < (band + 1) * bandMinima; k++) {
    key = Math.imul(key ^ (signature[k] as number), 0x85ebca6b);
    key ^= key >>> 15;
  }
  return key >>> 0;
}
