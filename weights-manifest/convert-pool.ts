/** Threads that convert tensors; or none, for small models. */

import { ArcticError } from "../src/errors.ts";
import { workerUrl } from "../src/worker-url.ts";
import { errno } from "./files.ts";
import { TensorConverter, type TensorJob } from "./convert-tensor.ts";

/** What a thread answers to a job. Errors lose their class between threads. */
export type Reply =
  | { readonly sha256: string }
  | {
    readonly error: { readonly code: string; readonly message: string; readonly typed: boolean };
  };

/** Where a job runs; one at a time each. */
export interface Runner {
  run(job: TensorJob): Promise<string>;
  close(): void;
}

/** An error of the system, as it came from a thread. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

/** Runs one job as a thread does. */
export function replyTo(converter: TensorConverter, job: TensorJob): Reply {
  try {
    return { sha256: converter.convert(job) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof ArcticError) return { error: { code: error.code, message, typed: true } };
    return { error: { code: errno(error), message, typed: false } };
  }
}

function unwrap(reply: Reply): string {
  if ("sha256" in reply) return reply.sha256;
  const { code, message, typed } = reply.error;
  if (typed) throw new ArcticError(code as ArcticError["code"], message);
  throw new SystemError(code, message);
}

/** Converts on the calling thread, and lets others have their turn between tensors. */
export function inlineRunner(): Runner {
  const converter = new TensorConverter();
  return {
    async run(job) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      return unwrap(replyTo(converter, job));
    },
    close: () => converter.close(),
  };
}

/** Converts on a thread of its own. */
export function threadRunner(): Runner {
  const worker = new Worker(workerUrl("weights-manifest/convert-worker"));
  let settle: { resolve(sha256: string): void; reject(error: unknown): void } | undefined;
  worker.onmessage = (event: MessageEvent<Reply>) => {
    const waiting = settle;
    settle = undefined;
    try {
      waiting?.resolve(unwrap(event.data));
    } catch (error) {
      waiting?.reject(error);
    }
  };
  worker.onerror = (event) => {
    settle?.reject(
      new ArcticError("weights_convert_failed", `A conversion thread stopped: ${event.message}`),
    );
  };
  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject };
        worker.postMessage(job);
      }),
    close: () => worker.terminate(),
  };
}
