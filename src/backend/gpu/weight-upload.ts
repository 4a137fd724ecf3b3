/** Stored tensors as device buffers, cut where one binding cannot hold them. */

import { assert, defined } from "../../assert.ts";
import { limits } from "../../limits.ts";
import type { StoredTensor } from "../../../weights-manifest/schema.ts";
import { type Binding, type Gpu, whole } from "./context.ts";
import { type TablePart, tableParts } from "./embed.ts";
import type { Fp8Matrix, Fp8Part } from "./fp8-product.ts";
import type { Uploader } from "./uploader.ts";

/** An FP8 matrix. A name that ends in gate_up has gate's rows, then up's (schema.ts). */
export async function uploadMatrix(
  gpu: Gpu,
  uploader: Uploader,
  tensor: StoredTensor,
): Promise<Fp8Matrix> {
  assert(tensor.dtype === "e4m3", `${tensor.name} is ${tensor.dtype}, not e4m3`);
  const { rows, cols, stride } = tensor;
  const stacked = tensor.name.endsWith("gate_up");
  const halves = stacked ? 2 : 1;
  const outputs = rows / halves;
  const most = Math.floor(gpu.bindingBytes / (halves * stride));
  assert(most >= 1 && Number.isInteger(outputs), `${tensor.name}: rows of ${stride} bytes`);
  const parts: Fp8Part[] = [];
  for (let first = 0; first < outputs; first += most) {
    const count = Math.min(most, outputs - first);
    parts.push(await uploadPart(gpu, uploader, tensor, halves, first, count));
  }
  return { rows, cols, stride, stacked, parts };
}

async function uploadPart(
  gpu: Gpu,
  uploader: Uploader,
  tensor: StoredTensor,
  halves: number,
  first: number,
  count: number,
): Promise<Fp8Part> {
  const { name, shard, stride, data } = tensor;
  const range = defined(tensor.scales, `the range of ${name}'s scales`);
  const codeBytes = halves * count * stride;
  const scalesAt = Math.ceil(codeBytes / limits.tensorAlign) * limits.tensorAlign;
  const buffer = gpu.buffer(name, scalesAt + halves * count * 4);
  const outputs = tensor.rows / halves;
  for (let half = 0; half < halves; half++) {
    const row = half * outputs + first;
    const to = half * count;
    await uploader.copy(buffer, to * stride, shard, data.offset + row * stride, count * stride);
    await uploader.copy(buffer, scalesAt + to * 4, shard, range.offset + row * 4, count * 4);
  }
  return {
    first,
    outputs: count,
    codes: { buffer, offset: 0, size: codeBytes },
    scales: { buffer, offset: scalesAt, size: halves * count * 4 },
  };
}

/** The bf16 embedding table. */
export async function uploadTable(
  gpu: Gpu,
  uploader: Uploader,
  tensor: StoredTensor,
): Promise<readonly TablePart[]> {
  const { name, rows, cols, shard, data } = tensor;
  assert(tensor.dtype === "bf16", `${name} is ${tensor.dtype}, not bf16`);
  const parts: TablePart[] = [];
  for (const part of tableParts(rows, cols, gpu.bindingBytes)) {
    const bytes = part.rows * cols * 2;
    const buffer = gpu.buffer(name, bytes);
    await uploader.copy(buffer, 0, shard, data.offset + part.first * cols * 2, bytes);
    parts.push({ ...part, codes: whole(buffer) });
  }
  return parts;
}

/** An f32 tensor. */
export async function uploadWeights(
  gpu: Gpu,
  uploader: Uploader,
  tensor: StoredTensor,
): Promise<Binding> {
  const { name, shard, data } = tensor;
  assert(tensor.dtype === "f32", `${name} is ${tensor.dtype}, not f32`);
  assert(data.bytes <= gpu.bindingBytes, `${name} takes ${data.bytes} bytes`);
  const buffer = gpu.buffer(name, data.bytes);
  await uploader.copy(buffer, 0, shard, data.offset, data.bytes);
  return whole(buffer);
}
