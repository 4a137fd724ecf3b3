import { afterAll, describe, expect, test } from "bun:test";
import type { StoredTensor } from "../../weights-manifest/schema.ts";
import { type Fp8Matrix } from "../../src/backend/cpu/fp8.ts";
import { gateUpMatmulFp8 } from "../../src/backend/cpu/gate-up-matmul-fp8.ts";
import { matmulFp8 } from "../../src/backend/cpu/matmul-fp8.ts";
import { gateUpMatmulFp8 as gpuGateUp } from "../../src/backend/gpu/gate-up-matmul-fp8.ts";
import { Head } from "../../src/backend/gpu/head.ts";
import { openGpu } from "../../src/backend/gpu/index.ts";
import { PaddedRows } from "../../src/backend/gpu/padded-rows.ts";
import { Uploader } from "../../src/backend/gpu/uploader.ts";
import { uploadMatrix, uploadTable } from "../../src/backend/gpu/weight-upload.ts";
import { gpuMissing } from "../support/gpu.ts";
import { gateUpDifference, mildMatrix } from "../kernels/gate-up-fixtures.ts";
import {
  difference,
  download,
  magnitudes,
  randomMatrix,
  randomValues,
  upload,
  uploadParts,
  uploadRows,
} from "../kernels/product-fixtures.ts";
import { FakeSource, limited } from "./gpu-fixtures.ts";

const withGpu = test.skipIf(gpuMissing !== undefined);
const gpu = gpuMissing === undefined ? await openGpu() : undefined;
afterAll(() => gpu?.close());

/** A source that stores the matrix under `name`, codes first, scales at the next multiple of 256. */
function stored(name: string, matrix: Fp8Matrix) {
  const { rows, cols, stride, codes, scales } = matrix;
  const at = Math.ceil(codes.length / 256) * 256;
  const bytes = new Uint8Array(at + scales.byteLength);
  bytes.set(codes);
  bytes.set(new Uint8Array(scales.buffer), at);
  const tensor: StoredTensor = {
    name,
    dtype: "e4m3",
    rows,
    cols,
    stride,
    shard: 0,
    data: { offset: 0, bytes: codes.length },
    scales: { offset: at, bytes: scales.byteLength },
    sources: [],
    sha256: null,
  };
  return new FakeSource([{ tensor, bytes }]);
}

describe("a matrix that one binding cannot hold", () => {
  withGpu("is cut by rows, and logits come from all of its parts", async () => {
    const matrix = randomMatrix(50, 20, 1);
    const source = stored("head", matrix);
    const small = limited(gpu!, { bindingBytes: 512 });
    const head = await uploadMatrix(small, new Uploader(small, source), source.tensor("head"));
    expect(head.parts.map(({ outputs }) => outputs)).toEqual([16, 16, 16, 2]);

    // 512 bytes hold two rows of logits: five rows take three rounds.
    const x = randomValues(9 * 20, 2);
    const rows = Uint32Array.of(0, 3, 4, 5, 8);
    const got = await new Head(small).logits(head, uploadRows(gpu!, x, 9, 20), rows);
    const want = new Float32Array(rows.length * 50), bound = want.slice();
    for (const [i, row] of rows.entries()) {
      const input = x.subarray(row * 20, (row + 1) * 20);
      matmulFp8(want.subarray(i * 50), matrix, input, 1, false);
      matmulFp8(bound.subarray(i * 50), magnitudes(matrix), input.map(Math.abs), 1, false);
    }
    expect(difference(got, want, bound)).toBeNull();
  });

  withGpu("keeps gate's and up's rows together when it is stacked", async () => {
    const matrix = mildMatrix(2 * 21, 33, 3);
    const source = stored("layers.0.residual.gate_up", matrix);
    const tensor = source.tensor("layers.0.residual.gate_up");
    const small = limited(gpu!, { bindingBytes: 2 * 48 * 5 });
    const stacked = await uploadMatrix(small, new Uploader(small, source), tensor);
    expect(stacked.parts.map(({ first }) => first)).toEqual([0, 5, 10, 15, 20]);

    const x = randomValues(3 * 33, 4);
    const out = { data: upload(gpu!, new Float32Array(3 * 21 + 1)), width: 21 };
    gpuGateUp(gpu!, {
      out,
      matrix: stacked,
      x: uploadRows(gpu!, x, 3, 33),
      add: false,
      tokens: 3,
      xFirst: 0,
      outFirst: 0,
    });
    const want = new Float32Array(3 * 21);
    gateUpMatmulFp8(want, matrix, x, 3);
    const got = await download(gpu!, out, 3 * 21);
    expect(gateUpDifference(got, want, matrix, x)).toBeNull();
  });
});

describe("the embedding table", () => {
  withGpu("is uploaded in parts, also where bytes are not whole words", async () => {
    const bytes = Uint8Array.from({ length: 7 * 3 * 2 }, (_, i) => i + 1);
    const tensor: StoredTensor = {
      name: "embedding",
      dtype: "bf16",
      rows: 7,
      cols: 3,
      stride: 6,
      shard: 0,
      data: { offset: 0, bytes: bytes.length },
      scales: null,
      sources: [],
      sha256: null,
    };
    const source = new FakeSource([{ tensor, bytes }]);
    const small = limited(gpu!, { bindingBytes: 24 });
    const uploader = new Uploader(small, source);
    const parts = await uploadTable(small, uploader, source.tensor("embedding"));
    expect(parts.map(({ first }) => first)).toEqual([0, 3, 6]);
    for (const { first, rows, codes } of parts) {
      const got = new Uint8Array(await gpu!.read(codes)).subarray(0, rows * 6);
      expect(got).toEqual(bytes.subarray(first * 6, (first + rows) * 6));
    }
    expect(uploader.total).toBe(bytes.length);
  });
});

describe("rows whose width is not a multiple of 4", () => {
  withGpu("are padded with zeros before a product reads them", async () => {
    const x = randomValues(3 * 5, 1);
    const padded = new PaddedRows(gpu!, 3);
    // What an earlier batch left in the padding must not reach a product.
    padded.input({ data: upload(gpu!, new Float32Array(15).fill(NaN)), width: 5 }, 3);
    const input = padded.input({ data: upload(gpu!, x), width: 5 }, 3);
    expect(input.width).toBe(8);
    const got = await download(gpu!, input, 24);
    for (let row = 0; row < 3; row++) {
      expect(got.subarray(row * 8, row * 8 + 5)).toEqual(x.subarray(row * 5, row * 5 + 5));
      expect(got.subarray(row * 8 + 5, row * 8 + 8)).toEqual(new Float32Array(3));
    }
  });

  withGpu("others are read where they are", () => {
    const rows = uploadRows(gpu!, new Float32Array(8), 2, 4);
    expect(new PaddedRows(gpu!, 2).input(rows, 2)).toBe(rows);
  });
});

withGpu("a product refuses an input whose rows are not padded", () => {
  const matrix = uploadParts(gpu!, mildMatrix(2, 5, 1), true);
  const rows = { data: upload(gpu!, new Float32Array(8)), width: 5 };
  const product = { out: rows, matrix, x: rows, add: false, tokens: 1, xFirst: 0, outFirst: 0 };
  expect(() => gpuGateUp(gpu!, product)).toThrow(/x of width 5/);
});
