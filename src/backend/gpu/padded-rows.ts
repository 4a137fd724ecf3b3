import type { Gpu } from "./context.ts";
import { whole } from "./context.ts";
import type { TokenRows } from "./fp8-product.ts";

/**
 * Products read their input four values at a time. A width that is a multiple of 4 (any real
 * model's) is read in place; rows of any other width are copied to a padded buffer first.
 */
export class PaddedRows {
  readonly #gpu: Gpu;
  readonly #maxRows: number;
  readonly #buffers = new Map<number, TokenRows>();

  constructor(gpu: Gpu, maxRows: number) {
    this.#gpu = gpu;
    this.#maxRows = maxRows;
  }

  /** The first `rows` rows of x with a width that is a multiple of 4, zero past x's own. */
  input(x: TokenRows, rows: number): TokenRows {
    if (x.width % 4 === 0) return x;
    const padded = this.#buffer(x.width);
    for (let row = 0; row < rows; row++) {
      const { buffer, offset } = x.data;
      const size = x.width * 4;
      this.#gpu.copy(
        { buffer, offset: offset + row * size, size },
        padded.data.buffer,
        padded.data.offset + row * padded.width * 4,
      );
    }
    return padded;
  }

  #buffer(width: number): TokenRows {
    const known = this.#buffers.get(width);
    if (known !== undefined) return known;
    const padded = Math.ceil(width / 4) * 4;
    const data = whole(this.#gpu.buffer(`padded ${width}`, this.#maxRows * padded * 4));
    const rows = { data, width: padded };
    this.#buffers.set(width, rows);
    return rows;
  }
}
