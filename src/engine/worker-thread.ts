/** A worker as a thread that can be supervised. */

import type { EngineThread } from "./supervisor.ts";
import type { Port } from "./wire.ts";

/**
 * Starts a worker, which opens an engine when it gets its first message.
 * @param url the worker's module: see workerUrl
 */
export function startWorkerThread(url: URL, first: unknown): EngineThread {
  const worker = new Worker(url);
  const { promise: failed, resolve } = Promise.withResolvers<string>();
  worker.onerror = (event) => {
    event.preventDefault();
    resolve(firstSentence(event.message));
  };
  worker.addEventListener("close", () => resolve("it ended by itself"));
  worker.postMessage(first);
  return { port: worker as Port, failed, terminate: () => worker.terminate() };
}

/** Bun puts the source around an error before what the error says. */
function firstSentence(message: string): string {
  const lines = message.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const said = lines.find((line) => /^(\w*Error|error): /.test(line)) ?? lines[0];
  return said?.replace(/\.+$/, "") ?? "it does not say why";
}
