/** The engine's thread as `serve` sees it, and what both tell each other beside the engine's messages. */

import type { EngineThread } from "../engine/supervisor.ts";
import { startWorkerThread } from "../engine/worker-thread.ts";
import type { TokenizerFiles } from "../tokenizer/tokenizer.ts";
import { workerUrl } from "../worker-url.ts";
import type { RunOptions } from "./open-engine.ts";

/** The first message to the thread. */
export interface ThreadOptions extends RunOptions {
  readonly context: number | undefined;
  /** What the server's outputs without end attend to: refused where it does not fit the model. */
  readonly sinks: number | undefined;
  readonly window: number | undefined;
  /** Whether progress is shown in place. */
  readonly isTerminal: boolean;
  readonly columns: number;
}

/** Sent once the engine is open, before any request: where constraints are followed. */
export interface GrammarsMessage {
  readonly type: "grammars";
  readonly port: MessagePort;
}

/** What the thread has found in the model folder. */
export interface FoundModel {
  readonly embedded: boolean;
  /** Of the model folder. */
  readonly name: string;
  /** First digits of the SHA-256 of the manifest, which holds the checksums of all weights. */
  readonly digest: string;
  /** The token that ends a text. */
  readonly eosToken: number;
  /** Logits of the model. */
  readonly vocabulary: number;
  /** Undefined for a model that has no tokenizer. */
  readonly tokenizer: TokenizerFiles | undefined;
}

export type Note =
  | { readonly kind: "line"; readonly text: string }
  | { readonly kind: "status"; readonly text: string }
  | { readonly kind: "model"; readonly model: FoundModel };

/** Starts the thread, which opens the model at once. */
export function startEngineThread(options: ThreadOptions): EngineThread {
  return startWorkerThread(workerUrl("src/cli/serve-worker"), options);
}
