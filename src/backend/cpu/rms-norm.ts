/**
 * out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight (Zhang and Sennrich 2019).
 *
 * @param out [rows, width]; may be x
 * @param x [rows, width]
 * @param weight [width]
 */
export function rmsNorm(
  out: Float32Array,
  x: Float32Array,
  weight: Float32Array,
  rows: number,
  width: number,
  eps: number,
): void {
  for (let r = 0; r < rows; r++) {
    const start = r * width;
    let squares = 0;
    for (let c = 0; c < width; c++) squares += x[start + c]! * x[start + c]!;
    const factor = 1 / Math.sqrt(squares / width + eps);
    for (let c = 0; c < width; c++) out[start + c] = x[start + c]! * factor * weight[c]!;
  }
}
