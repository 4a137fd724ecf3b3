import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorCode } from "../../src/errors.ts";
import { readSafetensors, type SourceTensor } from "../../weights-manifest/safetensors.ts";
import { refusal, safetensors } from "./support.ts";

function read(file: Uint8Array): SourceTensor[] {
  return readSafetensors("x.safetensors", file.length, (at, n) => file.slice(at, at + n));
}

/** A file with one header entry after another, given as JSON text, and so many bytes of data. */
function file(entries: string, dataBytes = 0): Uint8Array {
  return safetensors(`{${entries}}`, new Uint8Array(dataBytes));
}

function entry(name: string, shape: string, offsets: string, dtype = "BF16"): string {
  return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
}

describe("a sound file", () => {
  test("gives its tensors with places counted from the start of the file", () => {
    const header = `${entry("b", "[2,3]", "[4,16]")},"__metadata__":{"format":"pt"},` +
      entry("a", "[1]", "[0,4]", "F32");
    const bytes = file(header, 16);
    const start = bytes.length - 16;
    expect(read(bytes)).toEqual([
      {
        name: "b",
        dtype: "BF16",
        shape: [2, 3],
        file: "x.safetensors",
        offset: start + 4,
        bytes: 12,
      },
      { name: "a", dtype: "F32", shape: [1], file: "x.safetensors", offset: start, bytes: 4 },
    ]);
  });

  test("may pad its header with spaces and hold a scalar", () => {
    const bytes = safetensors(`{${entry("s", "[]", "[0,2]", "F16")}}    `, new Uint8Array(2));
    expect(read(bytes)[0]?.shape).toEqual([]);
  });

  test("may name tensors like properties of every object", () => {
    const names = ["__proto__", "constructor", "toString"];
    const header = names.map((name, i) => entry(name, "[1]", `[${2 * i},${2 * i + 2}]`)).join();
    expect(read(file(header, 6)).map((tensor) => tensor.name)).toEqual(names);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect("dtype" in {}).toBe(false);
  });
});

describe("every rule has its error", () => {
  const big = new Uint8Array(16);
  const lengths: [string, bigint, string][] = [
    ["one byte past the limit", 100_000_001n, "weights_header_too_large"],
    ["past the end of the file", 9n, "weights_header_too_large"],
    ["2^53 + 1", 2n ** 53n + 1n, "weights_header_too_large"],
    ["2^64 - 1", 2n ** 64n - 1n, "weights_header_too_large"],
    ["too short for an object", 1n, "weights_header_invalid"],
  ];
  for (const [what, length, code] of lengths) {
    test(`a header length ${what}`, async () => {
      new DataView(big.buffer).setBigUint64(0, length, true);
      await refusal(code, () => read(big));
    });
  }

  test("a large header length is not allocated", async () => {
    new DataView(big.buffer).setBigUint64(0, 99_999_999n, true);
    let asked = 0;
    const reading = () =>
      readSafetensors("x", 16, (at, n) => {
        asked = Math.max(asked, n);
        return big.slice(at, at + n);
      });
    await refusal("weights_header_too_large", reading);
    expect(asked).toBe(8);
  });

  for (const size of [0, 1, 7]) {
    test(`a file of ${size} bytes`, async () => {
      const message = await refusal("weights_header_truncated", () => read(new Uint8Array(size)));
      expect(message).toContain("x.safetensors");
    });
  }

  test("a file that ends while its header is read", async () => {
    const bytes = file(entry("a", "[1]", "[0,2]"), 2);
    const reading = () =>
      readSafetensors("x", bytes.length, (at, n) => bytes.slice(at, at + Math.min(n, 9)));
    await refusal("weights_header_truncated", reading);
  });

  const headers: [string, Uint8Array, string, RegExp?][] = [
    ["no brace first", safetensors("[1,2]"), "weights_header_invalid", /byte 8/],
    ["no JSON", safetensors("{nonsense"), "weights_header_invalid", /byte 9/],
    ["cut-off JSON", safetensors('{"a":'), "weights_header_invalid", /byte 13/],
    [
      "no UTF-8",
      safetensors(new Uint8Array([0x7b, 0x22, 0x61, 0xff, 0x22])),
      "weights_header_invalid",
      /byte 11/,
    ],
    ["text after the object", safetensors("{}{}"), "weights_header_invalid", /byte 10/],
    [
      "a name twice",
      file(`${entry("a", "[1]", "[0,2]")},${entry("a", "[1]", "[2,4]")}`, 4),
      "weights_header_invalid",
      /"a" a second time/,
    ],
    [
      "a name twice, once escaped",
      file(`${entry("a", "[1]", "[0,2]")},"\\u0061":{}`, 2),
      "weights_header_invalid",
      /second time/,
    ],
    [
      "a key twice in a tensor",
      file('"a":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}', 4),
      "weights_header_invalid",
    ],
    ["deep nesting", safetensors(`{"a":${"[".repeat(200_000)}`), "weights_header_invalid", /32/],
    ["a tensor that is no object", file('"a":7'), "weights_tensor_invalid"],
    ["an unknown property", file('"a":{"dtype":"F16","strides":[1]}'), "weights_tensor_invalid"],
    ["no dtype", file('"a":{"shape":[1],"data_offsets":[0,2]}', 2), "weights_tensor_invalid"],
    ["no shape", file('"a":{"dtype":"F16","data_offsets":[0,2]}', 2), "weights_shape_invalid"],
    ["no offsets", file('"a":{"dtype":"F16","shape":[1]}', 2), "weights_offsets_invalid"],
    ["an empty name", file(entry("", "[1]", "[0,2]"), 2), "weights_tensor_name_invalid"],
    [
      "a long name",
      file(entry("n".repeat(1025), "[1]", "[0,2]"), 2),
      "weights_tensor_name_invalid",
    ],
    ["metadata that is no text", file('"__metadata__":{"a":1}'), "weights_metadata_invalid"],
    [
      "an overlap",
      file(`${entry("a", "[2]", "[0,4]")},${entry("b", "[2]", "[2,6]")}`, 6),
      "weights_overlap",
      /"b" overlaps "a"/,
    ],
    [
      "two tensors in one place",
      file(`${entry("a", "[2]", "[0,4]")},${entry("b", "[2]", "[0,4]")}`, 4),
      "weights_overlap",
    ],
    [
      "a hole",
      file(`${entry("a", "[1]", "[0,2]")},${entry("b", "[1]", "[4,6]")}`, 6),
      "weights_hole",
      /2 bytes/,
    ],
    ["a hole at the start", file(entry("a", "[1]", "[2,4]"), 4), "weights_hole"],
    ["a rest", file(entry("a", "[1]", "[0,2]"), 5), "weights_trailing_bytes", /3 bytes/],
    ["a rest without tensors", file("", 5), "weights_trailing_bytes"],
    ["a cut-off file", file(entry("a", "[4]", "[0,8]"), 5), "weights_truncated", /3 are missing/],
    ["begin after end", file(entry("a", "[1]", "[2,0]"), 2), "weights_offsets_invalid"],
    ["three offsets", file(entry("a", "[1]", "[0,1,2]"), 2), "weights_offsets_invalid"],
    ["negative offsets", file(entry("a", "[1]", "[-2,0]"), 2), "weights_offsets_invalid"],
    ["fractional offsets", file(entry("a", "[1]", "[0.5,2.5]"), 2), "weights_offsets_invalid"],
    [
      "an offset with an exponent",
      file(entry("a", "[1]", "[0,2e0]"), 2),
      "weights_offsets_invalid",
    ],
    ["an offset of 1e400", file(entry("a", "[1]", "[0,1e400]"), 2), "weights_header_invalid"],
    ["an offset as text", file(entry("a", "[1]", '[0,"2"]'), 2), "weights_offsets_invalid"],
    ["a negative dimension", file(entry("a", "[-1]", "[0,2]"), 2), "weights_shape_invalid"],
    ["two negative dimensions", file(entry("a", "[-1,-1]", "[0,2]"), 2), "weights_shape_invalid"],
    ["an empty dimension", file(entry("a", "[0]", "[0,0]")), "weights_shape_invalid"],
    [
      "nine dimensions",
      file(entry("a", "[1,1,1,1,1,1,1,1,1]", "[0,2]"), 2),
      "weights_shape_invalid",
    ],
    [
      "a product of 2^64",
      file(entry("a", "[4294967296,4294967296]", "[0,0]")),
      "weights_shape_overflow",
    ],
    [
      "a product that wraps around to the true size",
      file(entry("a", "[9223372036854775809,2]", "[0,4]"), 4),
      "weights_shape_overflow",
    ],
    [
      "a product past 2^53",
      file(entry("a", "[94906267,94906267]", "[0,2]"), 2),
      "weights_shape_overflow",
    ],
    [
      "a size that is not shape x dtype",
      file(entry("a", "[2,3]", "[0,10]"), 10),
      "weights_size_mismatch",
      /12 bytes.*10/,
    ],
    [
      "a dtype nobody knows",
      file(entry("a", "[2]", "[0,2]", "BF8"), 2),
      "weights_dtype_unknown",
      /BF8/,
    ],
    [
      "a dtype of the format",
      file(entry("a", "[2]", "[0,2]", "F8_E4M3"), 2),
      "weights_dtype_unsupported",
      /F8_E4M3/,
    ],
    [
      "a dtype named like a property",
      file(entry("a", "[2]", "[0,2]", "__proto__"), 2),
      "weights_dtype_unknown",
    ],
  ];
  for (const [what, bytes, code, pattern] of headers) {
    test(what, async () => {
      const message = await refusal(code, () => read(bytes));
      if (pattern !== undefined) expect(message).toMatch(pattern);
    });
  }
});

test("any shape and offsets: accepted exactly when they describe the file", () => {
  const numbers = fc.oneof(
    fc.bigInt({ min: 0n, max: 6n }),
    fc.bigInt({ min: -4n, max: 2n ** 66n }),
    fc.constantFrom(2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n),
  );
  const property = fc.property(
    fc.array(numbers, { maxLength: 4 }),
    fc.tuple(numbers, numbers),
    (shape, [begin, end]) => {
      const bytes = file(entry("a", `[${shape.join()}]`, `[${begin},${end}]`), 12);
      const elements = shape.reduce((a, b) => a * b, 1n);
      const sound = begin === 0n && end === 12n && elements === 6n && shape.every((n) => n > 0n);
      try {
        read(bytes);
        return sound;
      } catch (error) {
        return !sound && errorCode(error)?.startsWith("weights_") === true;
      }
    },
  );
  fc.assert(property, { numRuns: 2000, verbose: 1 });
});
