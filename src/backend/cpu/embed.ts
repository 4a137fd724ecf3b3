/**
 * out[r] = table[tokens[r]], a bf16 being the upper half of an f32.
 *
 * @param out [tokens.length, width]
 * @param table bf16 bits, [vocabulary, width]
 * @param tokens ids below the vocabulary's size
 */
export function embed(
  out: Float32Array,
  table: Uint16Array,
  tokens: Uint32Array,
  width: number,
): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, tokens.length * width);
  for (let r = 0; r < tokens.length; r++) {
    const source = tokens[r]! * width;
    const target = r * width;
    for (let c = 0; c < width; c++) bits[target + c] = table[source + c]! << 16;
  }
}
