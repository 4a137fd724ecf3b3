/** Entry point of a thread of the CPU backend. */

import { answer, type SharedJob } from "./share.ts";
import { Workspace } from "./workspace.ts";

declare const self: Worker;

const workspace = new Workspace();

self.addEventListener("message", (event: MessageEvent<SharedJob>) => {
  answer(event.data, workspace);
});
self.postMessage("ready");
