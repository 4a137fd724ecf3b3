/**
 * Log-probabilities of tokens, told with the text that the tokens are. Text lags behind tokens, for
 * characters of several tokens and beginnings of stop texts, and some is never shown: an entry is given
 * out once all of its characters were. So the tokens of an answer, joined, are its text.
 */

import type { DrawnLogprob, TokenLogprob } from "../../engine/events.ts";

/** JSON knows no infinity. */
export const LOGPROB_FLOOR = -9999;

export interface TokenEntry {
  readonly id: number;
  /** The characters that the token completes; those of all entries, joined, are the text. */
  readonly token: string;
  readonly bytes: Uint8Array;
  /** Null for a first token, which nothing was before. */
  readonly logprob: number | null;
  readonly top: readonly TokenLogprob[];
}

/** The token that ended an output: no text of its own, not even where it could be spelled. */
export function endEntry({ token: id, logprob, top }: DrawnLogprob): TokenEntry {
  return { id, token: "", bytes: new Uint8Array(0), logprob, top };
}

export type TokenBytes = (id: number) => Uint8Array;

export function floored(logprob: number): number {
  return logprob >= LOGPROB_FLOOR ? logprob : LOGPROB_FLOOR;
}

export class LogprobAligner {
  readonly #tokenBytes: TokenBytes;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Entries of which not all characters were shown. */
  #pending: TokenEntry[] = [];
  /** Characters of the pending entries that were shown already. */
  #shown = 0;
  #isFirst = true;
  /** The last bytes pushed: whether the newest entry ends within a character. */
  #lastBytes: number[] = [];

  constructor(tokenBytes: TokenBytes) {
    this.#tokenBytes = tokenBytes;
  }

  push(id: number, logprob: number | null, top: readonly TokenLogprob[]): void {
    const bytes = this.#tokenBytes(id);
    const token = this.#decoder.decode(bytes, { stream: true });
    this.#lastBytes = [...this.#lastBytes, ...bytes].slice(-3);
    this.#pending.push({ id, token, bytes, logprob, top });
  }

  /** The entries that are complete now that `text` is shown too; none for no text. */
  take(text: string): TokenEntry[] {
    if (text === "") return [];
    this.#trimFirst(text);
    this.#shown += text.length;
    let count = 0;
    // What becomes of the bytes at the end of the newest entry may yet be its to tell.
    const most = this.#pending.length - (endsInside(this.#lastBytes) ? 1 : 0);
    for (const { token } of this.#pending.slice(0, most)) {
      if (token.length > this.#shown) break;
      this.#shown -= token.length;
      count++;
    }
    return this.#pending.splice(0, count);
  }

  /** No token will come: bytes that never became a character are one replacement character. */
  close(): void {
    const tail = this.#decoder.decode();
    this.#lastBytes = [];
    const last = this.#pending.at(-1);
    if (tail === "" || !last) return;
    this.#pending[this.#pending.length - 1] = { ...last, token: last.token + tail };
  }

  /** `text` is not shown as content: its entries are dropped. */
  skip(text: string): void {
    this.take(text);
  }

  /**
   * What is left at the end.
   * @param isCut the rest of the text is dropped, since a stop text was met
   */
  finish(isCut: boolean): TokenEntry[] {
    const rest = this.#pending.splice(0);
    if (!isCut) return rest;
    const [first] = rest;
    if (!first || this.#shown === 0) return [];
    const token = first.token.slice(0, this.#shown);
    return [{ ...first, token, bytes: new TextEncoder().encode(token) }];
  }

  /** Texts of some tokenizers begin without the space that their first token begins with. */
  #trimFirst(text: string): void {
    if (!this.#isFirst) return;
    this.#isFirst = false;
    if (text.startsWith(" ")) return;
    const at = this.#pending.findIndex(({ token }) => token !== "");
    const first = this.#pending[at];
    if (!first?.token.startsWith(" ")) return;
    this.#pending[at] = { ...first, token: first.token.slice(1), bytes: first.bytes.subarray(1) };
  }
}

/** Whether more bytes are to come of the character of UTF-8 that the last of `bytes` belong to. */
function endsInside(bytes: readonly number[]): boolean {
  const lead = bytes.findLastIndex((byte) => byte >> 6 !== 0b10);
  const byte = bytes[lead] ?? 0;
  const wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
  return bytes.length - lead < wanted;
}

function spelled(id: number, tokenBytes: TokenBytes): { token: string; bytes: number[] } {
  const bytes = tokenBytes(id);
  return { token: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), bytes: [...bytes] };
}

/** Entries as chat completions show them. */
export function chatLogprobs(entries: readonly TokenEntry[], tokenBytes: TokenBytes) {
  const content = entries.map(({ token, bytes, logprob, top }) => ({
    token,
    logprob: floored(logprob ?? 0),
    bytes: [...bytes],
    top_logprobs: top.map(({ token, logprob }) => {
      const { token: text, bytes } = spelled(token, tokenBytes);
      return { token: text, logprob: floored(logprob), bytes };
    }),
  }));
  return { content, refusal: null };
}

export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

/** @param offset characters (code points) of the text before the first entry */
export function completionLogprobs(
  entries: readonly TokenEntry[],
  offset: number,
  tokenBytes: TokenBytes,
): CompletionLogprobs {
  const shown: CompletionLogprobs = {
    tokens: [],
    token_logprobs: [],
    top_logprobs: [],
    text_offset: [],
  };
  for (const entry of entries) {
    const { token, logprob } = entry;
    shown.tokens.push(token);
    shown.token_logprobs.push(logprob === null ? null : floored(logprob));
    shown.top_logprobs.push(logprob === null ? null : likeliest(entry, logprob, tokenBytes));
    shown.text_offset.push(offset);
    offset += [...token].length;
  }
  return shown;
}

/** By text, the chosen token under its entry's own; of two tokens of one text the likelier stands. */
function likeliest(
  { id: chosen, token, top }: TokenEntry,
  logprob: number,
  tokenBytes: TokenBytes,
): Record<string, number> {
  const shown = new Map<string, number>();
  for (const { token: id, logprob } of top) {
    const text = id === chosen ? token : spelled(id, tokenBytes).token;
    if (!shown.has(text)) shown.set(text, floored(logprob));
  }
  if (!shown.has(token)) shown.set(token, floored(logprob));
  return Object.fromEntries(shown);
}
