/** cos and sin of slot * theta^(-2 i / headDim), both [slots, headDim / 2]. */
export interface RopeTable {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly slots: number;
  readonly headDim: number;
}

/** Angles are taken in f64: in f32 slot 4,000 would already be off by 1e-4. */
export function ropeTable(slots: number, headDim: number, theta: number): RopeTable {
  const half = headDim / 2;
  const cos = new Float32Array(new SharedArrayBuffer(slots * half * 4));
  const sin = new Float32Array(new SharedArrayBuffer(slots * half * 4));
  for (let i = 0; i < half; i++) {
    const frequency = theta ** (-2 * i / headDim);
    for (let slot = 0; slot < slots; slot++) {
      cos[slot * half + i] = Math.cos(slot * frequency);
      sin[slot * half + i] = Math.sin(slot * frequency);
    }
  }
  return { cos, sin, slots, headDim };
}

/**
 * Rotates the first `heads` heads of each row in place by the row's slot, dimension i paired with
 * i + headDim / 2 (RoFormer, Su et al. 2021, in the half-split layout of Hugging Face's weights).
 *
 * @param qkv [slots.length, width]
 * @param slots one a row, below table.slots
 * @param width row width of qkv, at least heads * table.headDim
 */
export function rope(
  qkv: Float32Array,
  slots: Uint32Array,
  table: RopeTable,
  heads: number,
  width: number,
): void {
  const { cos, sin, headDim } = table;
  const half = headDim / 2;
  for (let r = 0; r < slots.length; r++) {
    const angles = slots[r]! * half;
    for (let h = 0; h < heads; h++) {
      const start = r * width + h * headDim;
      for (let i = 0; i < half; i++) {
        const c = cos[angles + i]!, s = sin[angles + i]!;
        const a = qkv[start + i]!, b = qkv[start + half + i]!;
        qkv[start + i] = a * c - b * s;
        qkv[start + half + i] = b * c + a * s;
      }
    }
  }
}
