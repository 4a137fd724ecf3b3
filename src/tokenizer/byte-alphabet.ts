/**
 * The byte alphabet of GPT-2 (Radford et al., 2019; bytes_to_unicode in its encoder.py): printable
 * bytes stand for themselves, the other 68 for the characters from U+0100 on, in order.
 */

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

function alphabet(): string[] {
  let next = 0x100;
  return Array.from(
    { length: 256 },
    (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++),
  );
}

/** Indexed by byte. */
export const byteAlphabet: readonly string[] = alphabet();

const bytes = new Map(byteAlphabet.map((char, byte) => [char, byte]));

/** The bytes that a token spells in the alphabet; null if a character is not of it. */
export function bytesOf(token: string): Uint8Array | null {
  const out = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = bytes.get(token.charAt(i));
    if (byte === undefined) return null;
    out[i] = byte;
  }
  return out;
}
