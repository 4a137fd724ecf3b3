import { assert } from "../../assert.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import type { Fp8Matrix, TokenRows } from "./fp8-product.ts";
import { matmulFp8 } from "./matmul-fp8.ts";
import { matvecFp8 } from "./matvec-fp8.ts";

/** The last product of a pass: only for the rows whose logits are wanted, and read back. */
export class Head {
  readonly #gpu: Gpu;
  /** f32 [rows, vocabulary], grown to the most rows asked for at once. */
  #out: Binding | null = null;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /**
   * [rows.length, head.rows] of head x[rows]; as many rows at a time as one binding holds.
   * @param rows ascending
   */
  async logits(head: Fp8Matrix, x: TokenRows, rows: Uint32Array): Promise<Float32Array> {
    const most = Math.floor(this.#gpu.bindingBytes / (head.rows * 4));
    assert(most >= 1, `logits over ${head.rows} tokens`);
    const logits = new Float32Array(rows.length * head.rows);
    for (let done = 0; done < rows.length; done += most) {
      const some = rows.subarray(done, done + most);
      const out = this.#buffer(some.length * head.rows * 4);
      for (const { first, count, to } of adjacentRows(some)) {
        const product = {
          out: { data: out, width: head.rows },
          matrix: head,
          x,
          add: false,
          tokens: count,
          xFirst: first,
          outFirst: to,
        };
        if (count === 1) matvecFp8(this.#gpu, product);
        else matmulFp8(this.#gpu, product);
      }
      const read = await this.#gpu.read({ ...out, size: some.length * head.rows * 4 });
      logits.set(new Float32Array(read), done * head.rows);
    }
    return logits;
  }

  #buffer(bytes: number): Binding {
    if (this.#out !== null && this.#out.size >= bytes) return this.#out;
    this.#gpu.flush();
    this.#out?.buffer.destroy();
    this.#out = whole(this.#gpu.buffer("logits", bytes));
    return this.#out;
  }
}

/** Runs of adjacent rows: the first, how many, and where in the list they begin. */
function adjacentRows(
  rows: Uint32Array,
): { readonly first: number; readonly count: number; readonly to: number }[] {
  const runs: { first: number; count: number; to: number }[] = [];
  for (const [to, row] of rows.entries()) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === row) last.count++;
    else runs.push({ first: row, count: 1, to });
  }
  return runs;
}
