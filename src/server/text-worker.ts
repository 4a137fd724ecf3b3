/** Entry point of the thread that encodes long texts. */

import { assert } from "../assert.ts";
import { ArcticError } from "../errors.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { TextJob, TextResult, ToTextThread } from "./text-service.ts";

declare const self: Worker;

let tokenizer: Tokenizer | undefined;

function run(job: TextJob): Int32Array<ArrayBuffer> | string {
  assert(tokenizer !== undefined, "a text came before the tokenizer");
  switch (job.type) {
    case "encode":
      return Int32Array.from(
        tokenizer.encode(job.text, job.bos === undefined ? {} : { bos: job.bos }),
      );
    case "encode-chat":
      return Int32Array.from(tokenizer.encodeChat(job.messages));
    case "render-chat":
      return tokenizer.renderChat(job.messages);
    case "decode":
      return tokenizer.decode(Array.from(job.ids));
  }
}

self.onmessage = ({ data }: MessageEvent<ToTextThread>) => {
  if (data.type === "open") {
    tokenizer = Tokenizer.load(data.files);
    return;
  }
  const { id, job } = data;
  try {
    const value = run(job);
    const transfer = typeof value === "string" ? [] : [value.buffer];
    self.postMessage({ id, value } satisfies TextResult, transfer);
  } catch (error) {
    // Anything else is a fault of the thread, which ends with it.
    if (!(error instanceof ArcticError)) throw error;
    self.postMessage({ id, code: error.code, message: error.message } satisfies TextResult);
  }
};
