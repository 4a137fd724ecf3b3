/** Entry point of a thread of the CPU backend. */

import { answer, type SharedJob } from "./share.ts";

declare const self: Worker;

self.addEventListener("message", (event: MessageEvent<SharedJob>) => answer(event.data));
self.postMessage("ready");
