import { describe, expect, test } from "bun:test";
import * as fp8 from "../../weights-manifest/fp8.ts";
import { RowEncoder } from "../../weights-manifest/row-encoder.ts";
import { bf16Bits, bitsFloat, e4m3Value, floatBits, nearestCode, xorshift } from "./numbers.ts";
import { refusal } from "./support.ts";

test("decoding: all 256 codes", () => {
  for (let code = 0; code < 256; code++) {
    expect(Object.is(fp8.e4m3Values[code], e4m3Value(code))).toBe(true);
  }
  expect(fp8.e4m3Values[0x7e]).toBe(448);
  expect(fp8.e4m3Values[0x01]).toBe(2 ** -9);
});

test("encoding: all 65,536 bf16 values, by search", () => {
  const table = fp8.bf16CodeTable(1);
  let numbers = 0;
  for (let pattern = 0; pattern < 65_536; pattern++) {
    const value = bitsFloat(pattern << 16 >>> 0);
    if (!Number.isFinite(value)) {
      expect((table[pattern] ?? 0) & 0x7f).toBe(0x7f);
      continue;
    }
    numbers++;
    if (table[pattern] !== nearestCode(value)) {
      throw new Error(`${value} became ${table[pattern]}, not ${nearestCode(value)}`);
    }
  }
  expect(numbers).toBe(65_536 - 2 * 128);
});

test("encoding: the middle between two codes goes to the even one, its neighbours to theirs", () => {
  for (let code = 0; code < 0x7e; code++) {
    const middle = (e4m3Value(code) + e4m3Value(code + 1)) / 2;
    const even = code % 2 === 0 ? code : code + 1;
    expect(fp8.encodeE4m3(middle)).toBe(even);
    expect(fp8.encodeE4m3(-middle)).toBe(even | 0x80);
    const bits = floatBits(middle);
    expect(fp8.encodeE4m3(bitsFloat(bits - 1))).toBe(code);
    expect(fp8.encodeE4m3(bitsFloat(bits + 1))).toBe(code + 1);
  }
});

test("the exponent of a scale is the least that holds a row", () => {
  const random = xorshift(3);
  for (let i = 0; i < 20_000; i++) {
    const bits = i < 2000 ? 0x43d00000 + i - 1000 : random() & 0x7fffffff;
    const value = bitsFloat(bits);
    if (!Number.isFinite(value) || value === 0) continue;
    const k = fp8.scaleExponent(bits);
    expect(value <= 448 * 2 ** k).toBe(true);
    expect(k === -126 || value > 448 * 2 ** (k - 1)).toBe(true);
    expect(fp8.isScale(2 ** k)).toBe(true);
  }
  expect(fp8.scaleExponent(0)).toBe(0);
  expect(fp8.scaleExponent(floatBits(448))).toBe(0);
  expect(fp8.scaleExponent(floatBits(449))).toBe(1);
});

/** Scale and codes of a row, the slow way: the scale by trying each on the row itself. */
function slowRow(row: Float32Array): { scale: number; codes: number[] } {
  const top = row.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  let k = -126;
  while (top > 448 * 2 ** k) k++;
  if (top === 0) k = 0;
  const scales = Array.from({ length: 8 }, (_, i) => (1 + i / 8) * 2 ** k);
  const error = (scale: number) =>
    row.reduce((sum, x) => sum + significandError(x, scale / 2 ** k), 0);
  const errors = scales.map(error);
  const scale = scales[errors.indexOf(Math.min(...errors))] as number;
  return { scale, codes: Array.from(row, (x) => nearestCode(x / scale)) };
}

/** Squared error of x for a scale of significand s, with x cut to bf16 and E4M3 without an end. */
function significandError(x: number, s: number): number {
  const bits = floatBits(x);
  const exponent = (bits >>> 23) & 0xff;
  if (exponent === 0) return 0;
  const significand = 1 + ((bits >>> 16) & 0x7f) / 128;
  const rounded = s * e4m3Value(nearestCode(significand / s));
  return (significand - rounded) ** 2 * 4 ** (exponent - 127);
}

/** Rows whose elements spread over many exponents, with zeros of both signs and subnormals. */
function randomRow(random: () => number, base: number): Float32Array {
  return Float32Array.from({ length: 37 }, () => {
    const kind = random() % 8;
    if (kind === 0) return random() & 1 ? -0 : 0;
    // Five bits, the last one set: halfway between two codes.
    if (kind === 2) return (17 + 2 * (random() % 8)) * 2 ** (base - 5 - (random() % 14));
    const value = ((random() / 2 ** 32) * 2 - 1) * 2 ** (base - (random() % 24));
    return kind === 1 ? Math.sign(value) * 2 ** (base - (random() % 20)) : value;
  });
}

describe("rows", () => {
  const bases = [127, 100, 1, 0, -20, -100, -118, -119, -120, -125, -126, -130, -140, -148];

  test("f32 rows equal the slow way, at every size down to the subnormals", () => {
    const random = xorshift(11);
    const encoder = new RowEncoder();
    for (const base of bases) {
      for (let i = 0; i < 20; i++) {
        const row = randomRow(random, base);
        const out = new Uint8Array(row.length);
        const scale = encoder.f32(row, out, 0);
        expect({ scale, codes: [...out] }).toEqual(slowRow(row));
      }
    }
  });

  test("bf16 rows equal the slow way", () => {
    const random = xorshift(12);
    const encoder = new RowEncoder();
    for (const base of bases) {
      for (let i = 0; i < 20; i++) {
        const bits = Uint16Array.from(randomRow(random, base - 1), (x) => bf16Bits(floatBits(x)));
        const row = Float32Array.from(bits, (b) => bitsFloat(b << 16 >>> 0));
        const out = new Uint8Array(row.length + 3);
        const scale = encoder.bf16(bits, out, 2);
        expect({ scale, codes: [...out.subarray(2, -1)] }).toEqual(slowRow(row));
        expect([out[0], out[1], out.at(-1)]).toEqual([0, 0, 0]);
      }
    }
  });

  test("values on the grid times any power of two come back bit for bit", () => {
    const encoder = new RowEncoder();
    for (let k = -117; k <= 119; k += 4) {
      const codes = Uint8Array.from({ length: 254 }, (_, i) => i < 127 ? i : i + 1);
      const row = Float32Array.from(codes, (code) => e4m3Value(code) * 2 ** k);
      const out = new Uint8Array(row.length);
      const scale = encoder.f32(row, out, 0);
      const back = Float32Array.from(out, (code) => (fp8.e4m3Values[code] ?? NaN) * scale);
      expect(new Uint32Array(back.buffer)).toEqual(new Uint32Array(row.buffer));
    }
  });

  test("a row off the grid loses less than with a power of two", () => {
    const random = xorshift(21);
    const encoder = new RowEncoder();
    const loss = (row: Float32Array, codes: Uint8Array, scale: number) =>
      row.reduce((sum, x, i) => sum + (x - scale * e4m3Value(codes[i] as number)) ** 2, 0);
    let [chosen, powers] = [0, 0];
    for (let i = 0; i < 200; i++) {
      const normal = () => Array.from({ length: 12 }, () => random() / 2 ** 32 - 0.5);
      const row = Float32Array.from({ length: 64 }, () => normal().reduce((a, b) => a + b));
      const out = new Uint8Array(row.length);
      chosen += loss(row, out, encoder.f32(row, out, 0));
      const power = 2 ** fp8.scaleExponent(floatBits(Math.max(...row.map(Math.abs))));
      powers += loss(row, row.map((x) => nearestCode(x / power)) as unknown as Uint8Array, power);
    }
    expect(chosen).toBeLessThan(0.9 * powers);
  });

  test("NaN and infinities are told, not encoded", () => {
    const encoder = new RowEncoder();
    for (const bad of [NaN, Infinity, -Infinity]) {
      const row = new Float32Array([1, bad, 2]);
      expect(encoder.f32(row, new Uint8Array(3), 0)).toBeNaN();
      const half = Uint16Array.from(row, (x) => floatBits(x) >>> 16);
      expect(encoder.bf16(half, new Uint8Array(3), 0)).toBeNaN();
      expect(fp8.firstNotFinite(half, "BF16")).toBe(1);
    }
  });

  test("a row of zeros has scale 1 and keeps its signs", () => {
    const out = new Uint8Array(2);
    expect(new RowEncoder().bf16(new Uint16Array([0, 0x8000]), out, 0)).toBe(1);
    expect([...out]).toEqual([0, 0x80]);
  });
});

test("f16: all 65,536 patterns", () => {
  const values = fp8.f16Values();
  const expected = new Float16Array(new Uint16Array(65_536).map((_, i) => i).buffer);
  for (let i = 0; i < 65_536; i++) {
    if (!Object.is(values[i], expected[i])) throw new Error(`pattern ${i}: ${values[i]}`);
  }
});

test("bf16 rounding: ties to even, carries, all exponents", () => {
  const random = xorshift(5);
  for (let i = 0; i < 100_000; i++) {
    const bits = (random() & 0xffff0000) | ([0x7fff, 0x8000, 0x8001][i & 3] ?? random() & 0xffff);
    expect(fp8.bf16Bits(bits >>> 0)).toBe(bf16Bits(bits >>> 0));
  }
});

test("scales: only positive normal numbers pass", async () => {
  fp8.checkScales("t", new Float32Array([1, 2 ** -126, 2 ** 127, 0.5, 1.375]));
  for (const bad of [0, -0, -1, -1.5, 2 ** -127, 2 ** -149, NaN, Infinity, -Infinity]) {
    const check = () => fp8.checkScales("t", new Float32Array([1, bad]));
    expect(await refusal("weights_bad_scale", check)).toContain("row 1");
  }
});
