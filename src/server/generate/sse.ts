/** Streams as server-sent events: one `data` line each, ended by `[DONE]` as OpenAI's are. */

import type { Encoder, NumberedItem } from "./stream-item.ts";

const utf8 = new TextEncoder();

export const sseEncoder: Encoder = {
  contentType: "text/event-stream; charset=utf-8",
  item: (item, id) =>
    utf8.encode(`${id === undefined ? "" : `id: ${id}\n`}data: ${data(item)}\n\n`),
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

function data(item: NumberedItem): string {
  switch (item.type) {
    case "chunk":
      return JSON.stringify(item.value);
    case "error":
      return JSON.stringify({ error: item.error });
    case "done":
      return "[DONE]";
  }
}
