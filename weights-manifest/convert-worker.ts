/** Entry point of a conversion thread: a job comes in, its checksum or its error goes out. */

import { replyTo } from "./convert-pool.ts";
import { TensorConverter, type TensorJob } from "./convert-tensor.ts";

declare const self: Worker;

const converter = new TensorConverter();

self.addEventListener("message", (event: MessageEvent<TensorJob>) => {
  self.postMessage(replyTo(converter, event.data));
});
