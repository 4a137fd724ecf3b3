/**
 * The safetensors header, read as what it is: input from a stranger. A file is an 8-byte
 * little-endian length N, N bytes of JSON that map names to {dtype, shape, data_offsets}, and the
 * data. The tensors must fill the data without hole, overlap or rest, so a file has one meaning only.
 * Format: https://github.com/huggingface/safetensors#format
 */

import { Buffer } from "node:buffer";
import { ArcticError } from "../src/errors.ts";
import type { ErrorCode } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import { type Json, JsonNumber, parseJson, quote } from "./strict-json.ts";

/** Element types that arctic converts from. */
export type SourceDtype = "BF16" | "F16" | "F32";

export const sourceWidth: Readonly<Record<SourceDtype, number>> = { BF16: 2, F16: 2, F32: 4 };

/** Bits of the element types that the format knows and arctic does not convert. */
const OTHER_DTYPES: ReadonlySet<string> = new Set([
  ...["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F64", "C64"],
  ...["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F4"],
]);

export interface SourceTensor {
  readonly name: string;
  readonly dtype: SourceDtype;
  readonly shape: readonly number[];
  /** Path of its file. */
  readonly file: string;
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** Reads `length` bytes at `offset`; fewer only where the file ends. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

const U64_BYTES = 8;

function refuse(code: ErrorCode, message: string): never {
  throw new ArcticError(code, message);
}

/**
 * The tensors of one safetensors file, in the order of its header.
 *
 * @param file path, for messages and for SourceTensor.file
 * @param fileBytes size of the file
 * @throws ArcticError `weights_*`, one code for each rule of the format
 */
export function readSafetensors(file: string, fileBytes: number, read: ReadAt): SourceTensor[] {
  const headerBytes = headerLength(file, fileBytes, read);
  const bytes = read(U64_BYTES, headerBytes);
  if (bytes.length < headerBytes) {
    refuse(
      "weights_header_truncated",
      `${file} ended in its header: ${bytes.length} of ${headerBytes} bytes could be read. ` +
        "Fetch the file again.",
    );
  }
  if (bytes[0] !== 0x7b) {
    refuse(
      "weights_header_invalid",
      `${file} is not a safetensors file: its header must start with "{" at byte ${U64_BYTES}. ` +
        "Fetch the file again.",
    );
  }
  const json = parseJson(bytes, {
    what: `The header of ${file}`,
    code: "weights_header_invalid",
    base: U64_BYTES,
  });
  const dataStart = U64_BYTES + headerBytes;
  const tensors: SourceTensor[] = [];
  for (const [name, entry] of json as Map<string, Json>) {
    if (name === "__metadata__") checkMetadata(file, entry);
    else tensors.push(readEntry(file, name, entry, BigInt(dataStart)));
  }
  checkCoverage(file, fileBytes, dataStart, tensors);
  return tensors;
}

function headerLength(file: string, fileBytes: number, read: ReadAt): number {
  const start = fileBytes < U64_BYTES ? new Uint8Array(0) : read(0, U64_BYTES);
  if (start.length < U64_BYTES) {
    refuse(
      "weights_header_truncated",
      `${file} has ${fileBytes} bytes, but a safetensors file starts with an ${U64_BYTES}-byte ` +
        "length. The file is empty or cut off; fetch it again.",
    );
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(limits.safetensorsHeaderBytes)) {
    refuse(
      "weights_header_too_large",
      `${file} announces a header of ${length} bytes; at most ${limits.safetensorsHeaderBytes} ` +
        "are allowed. This is no safetensors file, or a damaged one.",
    );
  }
  if (length > BigInt(fileBytes - U64_BYTES)) {
    refuse(
      "weights_header_too_large",
      `${file} announces a header of ${length} bytes, but only ${fileBytes - U64_BYTES} bytes ` +
        "follow. The file is cut off or damaged; fetch it again.",
    );
  }
  if (length < 2n) {
    refuse(
      "weights_header_invalid",
      `${file} announces a header of ${length} bytes, too short for JSON. Fetch the file again.`,
    );
  }
  return Number(length);
}

function checkMetadata(file: string, entry: Json): void {
  const strings = entry instanceof Map && [...entry.values()].every((v) => typeof v === "string");
  if (!strings) {
    refuse(
      "weights_metadata_invalid",
      `${file}: __metadata__ must map names to strings. The file is damaged.`,
    );
  }
}

function readEntry(file: string, name: string, entry: Json, dataStart: bigint): SourceTensor {
  const where = `${file}: tensor ${quote(name)}`;
  if (name.length === 0 || Buffer.byteLength(name) > limits.tensorNameBytes) {
    refuse(
      "weights_tensor_name_invalid",
      `${where} has a name of ${Buffer.byteLength(name)} bytes; 1 to ${limits.tensorNameBytes} ` +
        "are allowed.",
    );
  }
  if (!(entry instanceof Map)) {
    refuse(
      "weights_tensor_invalid",
      `${where} is not described by an object. The file is damaged.`,
    );
  }
  for (const key of entry.keys()) {
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets") {
      refuse(
        "weights_tensor_invalid",
        `${where} has the unknown property ${
          quote(key)
        }; only dtype, shape and data_offsets exist.`,
      );
    }
  }
  const dtype = readDtype(where, entry.get("dtype"));
  const shape = readIntegers(where, "shape", entry.get("shape"));
  const offsets = readIntegers(where, "data_offsets", entry.get("data_offsets"));
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin === undefined || end === undefined) {
    refuse(
      "weights_offsets_invalid",
      `${where} has ${offsets.length} data_offsets; a begin and an end are needed.`,
    );
  }
  if (begin > end) {
    refuse("weights_offsets_invalid", `${where} begins at ${begin}, after its end ${end}.`);
  }
  const need = product(where, shape) * BigInt(sourceWidth[dtype]);
  if (need !== end - begin) {
    refuse(
      "weights_size_mismatch",
      `${where} is ${dtype} [${shape.join(", ")}], which takes ${need} bytes, but its offsets ` +
        `span ${end - begin}. The file is damaged.`,
    );
  }
  const offset = Number(dataStart + begin);
  return { name, dtype, shape: shape.map(Number), file, offset, bytes: Number(need) };
}

function readDtype(where: string, dtype: Json | undefined): SourceDtype {
  if (typeof dtype !== "string") {
    refuse("weights_tensor_invalid", `${where} has no dtype. The file is damaged.`);
  }
  if (dtype === "BF16" || dtype === "F16" || dtype === "F32") return dtype;
  if (OTHER_DTYPES.has(dtype)) {
    refuse(
      "weights_dtype_unsupported",
      `${where} is ${dtype}; arctic converts BF16, F16 and F32. Convert from the original ` +
        "checkpoint, not from a quantised copy.",
    );
  }
  refuse("weights_dtype_unknown", `${where} has the unknown dtype ${quote(dtype)}.`);
}

function readIntegers(where: string, key: string, json: Json | undefined): bigint[] {
  const code = key === "shape" ? "weights_shape_invalid" : "weights_offsets_invalid";
  if (!Array.isArray(json)) refuse(code, `${where} has no ${key}. The file is damaged.`);
  if (json.length > limits.tensorDimensions) {
    refuse(
      code,
      `${where} has ${json.length} numbers in ${key}; at most ${limits.tensorDimensions} are allowed.`,
    );
  }
  return json.map((item) => {
    const text = item instanceof JsonNumber ? item.text : typeof item;
    // 20 digits hold every unsigned 64-bit integer, and bound the work of BigInt.
    if (!/^(0|[1-9][0-9]{0,19})$/.test(text)) {
      refuse(
        code,
        `${where} has ${quote(text)} in ${key}, where only whole numbers from 0 are allowed.`,
      );
    }
    return BigInt(text);
  });
}

/** Elements of a shape. Exact: a product that wraps around is how a small file claims a huge tensor. */
function product(where: string, shape: readonly bigint[]): bigint {
  let elements = 1n;
  for (const dimension of shape) {
    if (dimension === 0n) {
      refuse("weights_shape_invalid", `${where} has an empty dimension in [${shape.join(", ")}].`);
    }
    elements *= dimension;
  }
  if (elements > BigInt(Number.MAX_SAFE_INTEGER)) {
    refuse(
      "weights_shape_overflow",
      `${where} claims ${elements} elements, [${shape.join(", ")}]; no file is that large.`,
    );
  }
  return elements;
}

function checkCoverage(
  file: string,
  fileBytes: number,
  dataStart: number,
  tensors: readonly SourceTensor[],
): void {
  const sorted = tensors.toSorted((a, b) => a.offset - b.offset);
  let end = dataStart;
  let last = "the start of the data";
  for (const { name, offset, bytes } of sorted) {
    if (offset < end) {
      refuse("weights_overlap", `${file}: tensor ${quote(name)} overlaps ${last}.`);
    }
    if (offset > end) {
      refuse(
        "weights_hole",
        `${file}: ${offset - end} bytes between ${last} and ${quote(name)} belong to no tensor.`,
      );
    }
    end = offset + bytes;
    last = quote(name);
  }
  if (end > fileBytes) {
    refuse(
      "weights_truncated",
      `${file} has ${fileBytes} bytes, but its header needs ${end}: ${
        end - fileBytes
      } are missing. ` +
        "The file is cut off; fetch it again.",
    );
  }
  if (end < fileBytes) {
    refuse(
      "weights_trailing_bytes",
      `${file} has ${fileBytes - end} bytes after its last tensor. They belong to nothing; the ` +
        "file is damaged or is two files in one.",
    );
  }
}
