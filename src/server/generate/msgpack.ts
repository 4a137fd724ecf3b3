/**
 * Answers as MessagePack, for clients that ask for `application/msgpack`: the objects of the JSON API. A
 * stream is a sequence of frames: 4 bytes of length, big-endian, and an object of that many bytes; the
 * last is `{"done": true}`, or has the key `error`. A frame of length 0 only keeps the connection alive.
 */

import { Packr } from "msgpackr";
import type { Encoder, NumberedItem } from "./stream-item.ts";

export const MSGPACK = "application/msgpack";
const HEADER_BYTES = 4;
const utf8 = new TextDecoder();

/** Plain maps, that any MessagePack library reads. */
const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true });

export function packed(value: object): Uint8Array<ArrayBuffer> {
  return new Uint8Array(packr.pack(value));
}

function frame(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

export const msgpackEncoder: Encoder = {
  contentType: MSGPACK,
  item: (item) => frame(packed(content(item))),
  progress: () => frame(new Uint8Array(0)),
  keepAlive: () => frame(new Uint8Array(0)),
};

function content(item: NumberedItem): object {
  switch (item.type) {
    case "chunk":
      return item.value;
    case "json":
      return JSON.parse(utf8.decode(item.bytes));
    case "error":
      return { error: item.error };
    case "done":
      return { done: true };
  }
}

/** Whether MessagePack is what an Accept header names. */
export function wantsMsgpack(accept: string | undefined): boolean {
  const types = (accept ?? "").split(",").map((type) => type.split(";")[0]?.trim().toLowerCase());
  return types.includes(MSGPACK) || types.includes("application/x-msgpack");
}
