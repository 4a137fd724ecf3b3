/** Streams as server-sent events: one `data` line each, ended by `[DONE]` as OpenAI's are. */

import type { Encoder, NumberedItem } from "./stream-item.ts";

const utf8 = new TextEncoder();

export const sseEncoder: Encoder = {
  contentType: "text/event-stream; charset=utf-8",
  item: (item, id) => utf8.encode(`id: ${id}\ndata: ${data(item)}\n\n`),
  progress: (done, total) => utf8.encode(`: prefill ${done}/${total}\n\n`),
  keepAlive: () => utf8.encode(": keep-alive\n\n"),
};

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
