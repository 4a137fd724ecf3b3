/** Text from files, folders and models, made safe to show on a terminal. */

/** Controls (C0, C1), line separators, and the marks that reorder text on a screen. */
function isUnsafe(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code === 0x2028 || code === 0x2029 ||
    (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/**
 * `text` with every character that could steer a terminal written out, as `\x1b` or `\u{202e}`.
 * @param keep characters left alone although they are controls
 */
export function escapeControls(text: string, keep = ""): string {
  let safe = "";
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (!isUnsafe(code) || keep.includes(character)) safe += character;
    else if (code > 0xff) safe += `\\u{${code.toString(16)}}`;
    else safe += `\\x${code.toString(16).padStart(2, "0")}`;
  }
  return safe;
}
