/** Entry point of the thread that the engine of `serve` runs in. */

import { readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Model } from "../../weights-manifest/reader.ts";
import { MANIFEST_FILE } from "../../weights-manifest/schema.ts";
import { assert } from "../assert.ts";
import { backendOptions } from "../engine/engine.ts";
import { hostEngine, signOfLife } from "../engine/host.ts";
import { errorToWire, type FromHost, type Port } from "../engine/wire.ts";
import { grammarConstraint } from "../grammar/constraint.ts";
import { openModelForRun, type Surroundings, tokenizerFiles } from "./open-engine.ts";
import { servedTokens } from "./served-tokens.ts";
import { checkWindow } from "./window.ts";
import type { FoundModel, GrammarsMessage, Note, ThreadOptions } from "./serve-thread.ts";

declare const self: Worker;

const port = self as Port;

function post(message: FromHost): void {
  port.postMessage(message);
}

function tell(note: Note): void {
  post({ type: "note", note });
}

/** Whoever interrupts ends this thread as it is. */
function surroundings({ isTerminal, columns }: ThreadOptions): Surroundings {
  return {
    messages: {
      isTerminal,
      columns,
      line: (text) => tell({ kind: "line", text }),
      status: (text) => tell({ kind: "status", text }),
    },
    signal: new AbortController().signal,
  };
}

function describe(source: Model, embedded: boolean): FoundModel {
  const manifest = readFileSync(join(source.folder, MANIFEST_FILE));
  return {
    embedded,
    name: basename(resolve(source.folder)),
    digest: new Bun.CryptoHasher("sha256").update(manifest).digest("hex").slice(0, 8),
    eosToken: source.config.eosToken,
    vocabulary: source.config.vocabulary,
    tokenizer: tokenizerFiles(source),
  };
}

async function open(options: ThreadOptions): Promise<void> {
  const { context, sinks, window, ...run } = options;
  const opened = await openModelForRun(
    run,
    surroundings(options),
    { onProgress: signOfLife(port, () => performance.now()) },
    (source) => {
      // Before the weights are loaded, which may take long.
      checkWindow({ sinks, window }, backendOptions(source).slots - 1);
      return servedTokens(source, context);
    },
  );
  const { engine, source, embedded } = opened;
  let grammars: MessagePort | undefined;
  tell({ kind: "model", model: describe(source, embedded) });
  hostEngine(engine, port, {
    constraint(id) {
      assert(grammars !== undefined, "a request has a grammar, and nobody follows any");
      return grammarConstraint(grammars, id, engine.vocabulary);
    },
    onOther: (message) => {
      grammars = (message as GrammarsMessage).port;
    },
  });
}

port.onmessage = ({ data }: MessageEvent<ThreadOptions>) => {
  open(data).catch((error) => post({ type: "failed", error: errorToWire(error) }));
};
