/** Streams as server-sent events: one `data` line each, ended by `[DONE]` as OpenAI's are. */

import type { Encoder, NumberedItem } from "./stream-item.ts";

const utf8 = new TextEncoder();
const END = utf8.encode("\n\n");

export const sseEncoder: Encoder = {
  contentType: "text/event-stream; charset=utf-8",
  item: (item, id) => {
    const begin = `${id === undefined ? "" : `id: ${id}\n`}data: `;
    if (item.type !== "json") return utf8.encode(`${begin}${data(item)}\n\n`);
    return joined(utf8.encode(begin), item.bytes, END);
  },
  progress: (done, total) => comment(`prefill ${done}/${total}`),
  keepAlive: () => comment("keep-alive"),
};

/**
 * Without a blank line after it: OpenAI's clients for Python (once they have seen an id) and for Go take
 * each blank line for the end of an event, and fail where that has no data.
 */
function comment(text: string): Uint8Array {
  return utf8.encode(`: ${text}\n`);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function data(item: Exclude<NumberedItem, { type: "json" }>): string {
  switch (item.type) {
    case "chunk":
      return JSON.stringify(item.value);
    case "error":
      return JSON.stringify({ error: item.error });
    case "done":
      return "[DONE]";
  }
}
