/**
 * `arctic serve`: the HTTP server in this thread, the engine in another.
 *
 * The port is taken before the model is touched; until the model is loaded, requests are put off.
 */

import { version } from "../../package.json" with { type: "json" };
import { defined } from "../assert.ts";
import { Supervisor } from "../engine/supervisor.ts";
import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import { type OpenGrammars, openGrammars } from "../grammar/grammars.ts";
import { limits } from "../limits.ts";
import { createApp, createWaitingApp } from "../server/app.ts";
import { describe } from "../server/failure.ts";
import { listen } from "../server/listen.ts";
import { createLog, type Log } from "../server/log.ts";
import type { ServedModel, Services } from "../server/services.ts";
import { TokenizerText } from "../server/text-service.ts";
import { sqlMessages } from "../sql/prompt.ts";
import type { Context } from "./context.ts";
import { DEFAULT_TEMPERATURE } from "./flag-table.ts";
import type { Invocation } from "./flags.ts";
import { type ServeOptions, settingsFor } from "./serve-settings.ts";
import { type FoundModel, type Note, startEngineThread } from "./serve-thread.ts";

/** What the embedded model is called where clients name a model. */
const EMBEDDED_NAME = "arctic-tiny-sql";

const clock = () => performance.now();
const randomId = () => crypto.randomUUID().replaceAll("-", "");
const randomSeed = () => defined(crypto.getRandomValues(new Uint32Array(1))[0], "a seed");

/** @throws ArcticError where flags, port, model or device are at fault, or the engine is lost twice */
export async function serve(
  { options }: Invocation<"serve">,
  context: Context,
): Promise<ExitCode> {
  const { signal, messages } = context;
  const settings = await settingsFor(options, signal);
  const log = createLog();
  log.level = options.logLevel;
  const listener = listen(createWaitingApp(settings, { clock, randomId, log }), settings, log);
  const end = ending(signal);
  const model = new Served(options, context, log, end.reject);
  try {
    await model.open();
    listener.use(createApp(model.services(), settings, log));
    const { id } = model.described;
    messages.line(`arctic ${version} serves ${id} on ${listener.url}/v1 (${model.device})`);
    await end.promise;
    messages.line(`Ending: running answers have ${options.drainSeconds} s to finish.`);
    // An engine that is lost meanwhile fails all that this waits for.
    end.promise.catch(() => {});
    await listener.drain(options.drainSeconds);
  } catch (error) {
    // Streams still say why they end.
    await listener.drain(signal.aborted ? 0 : limits.farewellSeconds);
    if (!signal.aborted) throw error;
  } finally {
    model.close();
  }
  return Exit.done;
}

/** Resolves when the server is told to end. */
function ending(signal: AbortSignal): PromiseWithResolvers<void> {
  const end = Promise.withResolvers<void>();
  end.promise.catch(() => {});
  if (signal.aborted) end.resolve();
  signal.addEventListener("abort", () => end.resolve(), { once: true });
  return end;
}

/** The model behind the server, and all that lives as long as it does. */
class Served {
  readonly #options: ServeOptions;
  readonly #context: Context;
  readonly #log: Log;
  readonly #onLost: (error: Error) => void;
  #engine: Supervisor | undefined;
  #found: FoundModel | undefined;
  #text: TokenizerText | undefined;
  #grammars: OpenGrammars | undefined;

  constructor(
    options: ServeOptions,
    context: Context,
    log: Log,
    onLost: (error: Error) => void,
  ) {
    this.#options = options;
    this.#context = context;
    this.#log = log;
    this.#onLost = onLost;
  }

  async open(): Promise<void> {
    const { model, backend, io, allowNan, context, sinks, window } = this.#options;
    const { isTerminal, columns } = this.#context.messages;
    const thread = {
      ...{ model, backend, io, allowNan, context, sinks, window },
      ...{ isTerminal, columns },
    };
    this.#engine = await Supervisor.open({
      start: () => startEngineThread(thread),
      clock,
      every(milliseconds, callback) {
        const timer = setInterval(callback, milliseconds);
        return () => clearInterval(timer);
      },
      onNote: (note) => this.#note(note as Note),
      onOpened: (port) => {
        const grammars = this.#grammars?.port();
        if (grammars) port.postMessage({ type: "grammars", port: grammars }, [grammars]);
      },
      onRestart: (error) => this.#log.error(describe(error), "engine lost, starting it again"),
      onRestarted: () => this.#log.warn("engine started again"),
      onUnrecoverable: (error) => {
        this.#log.fatal(describe(error), "engine lost");
        this.#onLost(beyondRepair(error));
      },
    }, this.#context.signal);
  }

  get device(): string {
    return defined(this.#engine, "the engine").device;
  }

  get described(): ServedModel {
    const { embedded, name, digest } = defined(this.#found, "the model");
    const id = this.#options.servedModelName ?? (embedded ? EMBEDDED_NAME : name);
    return {
      id,
      created: Math.floor(Date.now() / 1_000),
      fingerprint: `arctic-${version}-${digest}`,
      temperature: embedded ? 0 : DEFAULT_TEMPERATURE,
      hasChatTemplate: this.#text?.tokenizer.hasChatTemplate ?? false,
      // The embedded model knows its task from a schema.
      defaultSystem: embedded ? sqlMessages("")[0]?.content : undefined,
    };
  }

  services(): Services {
    const engine = defined(this.#engine, "the engine");
    return {
      engine,
      model: this.described,
      text: this.#text,
      grammars: this.#grammars,
      clock,
      now: () => Date.now(),
      randomId,
      randomSeed,
      isUp: () => engine.state === "ready",
    };
  }

  close(): void {
    this.#engine?.close();
    this.#grammars?.close();
    this.#text?.close();
  }

  #note(note: Note): void {
    const { messages } = this.#context;
    if (note.kind === "line") messages.line(note.text);
    else if (note.kind === "status") messages.status(note.text);
    // An engine that is started again has the same model.
    else if (this.#found === undefined) this.#find(note.model);
  }

  #find(found: FoundModel): void {
    this.#found = found;
    if (found.tokenizer === undefined) return;
    const text = this.#text = new TokenizerText(found.tokenizer);
    const { vocabularySize } = text.tokenizer;
    // A vocabulary that the model has no logits for, or no end in, is none to follow a grammar with.
    if (vocabularySize > found.vocabulary || found.eosToken >= vocabularySize) return;
    const tokens = Array.from({ length: vocabularySize }, (_, id) => text.tokenBytes(id));
    this.#grammars = openGrammars({ tokens, eos: found.eosToken, size: found.vocabulary });
  }
}

/** What ends a server is its own fault, whatever the engine's was. */
function beyondRepair(error: Error): ArcticError {
  if (error instanceof ArcticError && error.exit === Exit.unrecoverable) return error;
  const code = error instanceof ArcticError ? error.code : "engine_lost";
  return new ArcticError(code, error.message, { exit: Exit.unrecoverable, cause: error });
}
