/** A thread with a fake engine, which throws where nobody catches when it is asked for token 9. */

import { hostEngine } from "../../src/engine/host.ts";
import type { Port } from "../../src/engine/wire.ts";
import { FakeDoor } from "./fake-door.ts";

declare const self: Worker;

self.onmessage = () => {
  const door = new FakeDoor();
  door.before = ({ tokens }) => {
    if (tokens[0] !== 9) return;
    setTimeout(() => {
      throw new TypeError("thrown by the thread");
    });
    return new Promise(() => {});
  };
  hostEngine(door, self as Port);
};
