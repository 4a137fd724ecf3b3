/** Text from standard input or a file, bounded, and given up when the user interrupts. */

import { open } from "node:fs/promises";
import process from "node:process";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";

/**
 * All of standard input as UTF-8 text. A closed one is empty.
 * @throws ArcticError `request_too_long` past limits.promptBytes, `request_not_utf8`, `disk_input`
 */
export async function readStandardInput(signal: AbortSignal): Promise<string> {
  const name = "Standard input";
  return decode(await readBounded(process.stdin, name, limits.promptBytes, signal), name);
}

/**
 * A file's UTF-8 text; `-` is standard input.
 * @throws ArcticError `disk_input` when it cannot be read, and as readStandardInput
 */
export async function readTextFile(path: string, signal: AbortSignal): Promise<string> {
  if (path === "-") return readStandardInput(signal);
  return decode(await readBytesFile(path, limits.promptBytes, signal), `The file ${path}`);
}

/**
 * A file's bytes.
 * @param most bytes it may have
 * @throws ArcticError `disk_input` when it cannot be read, `request_too_long` when it is too large
 */
export async function readBytesFile(
  path: string,
  most: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const name = `The file ${path}`;
  const file = await open(path).catch((cause) => unreadable(name, cause));
  try {
    return await readBounded(file.createReadStream({ autoClose: false }), name, most, signal);
  } finally {
    await file.close();
  }
}

type Stream = AsyncIterable<Uint8Array | string>;

/** Everything that the stream gives, unless the signal comes first. */
async function readBounded(
  stream: Stream,
  name: string,
  most: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return await Promise.race([readAll(stream, name, most), aborted]);
}

async function readAll(stream: Stream, name: string, most: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let total = 0;
  try {
    for await (const part of stream) {
      const bytes = typeof part === "string" ? new TextEncoder().encode(part) : part;
      parts.push(bytes);
      total += bytes.length;
      if (total > most) {
        throw new ArcticError("request_too_long", `${name} has more than ${most} bytes.`);
      }
    }
  } catch (cause) {
    unreadable(name, cause);
  }
  const all = new Uint8Array(total);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ArcticError("request_not_utf8", `${name} is not UTF-8 text.`, { cause });
  }
}

function unreadable(name: string, cause: unknown): never {
  if (cause instanceof ArcticError) throw cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new ArcticError("disk_input", `${name} cannot be read: ${reason}.`, { cause });
}
