/** One choice while it runs: the engine's events as what they add to the answer. */

import type { EndEvent, EngineEvent } from "../../engine/events.ts";
import { CallStream } from "./call-stream.ts";
import { type Delta, finishOf } from "./delta.ts";
import { LogprobAligner, type TokenBytes } from "./logprobs.ts";
import { checkEnd } from "./run.ts";
import type { OutputForm } from "./tool-choice.ts";
import { type Detected, ToolDetector } from "./tool-detector.ts";

export interface ChoiceOptions {
  readonly form: OutputForm;
  /** Names of the tools that may be called. */
  readonly names: ReadonlySet<string>;
  /** Whether more than one call is told. */
  readonly parallelCalls: boolean;
  /** Where log-probabilities are wanted. */
  readonly tokenBytes: TokenBytes | undefined;
  readonly randomId: () => string;
}

/** Text, and nothing else. */
export const plainText = {
  form: { kind: "text" },
  names: new Set<string>(),
  parallelCalls: true,
} as const;

/** The text of an answer as deltas; `end` is called once, after all text. */
interface Reader {
  push(text: string): Delta[];
  end(): Delta[];
  readonly calls: number;
}

export class Choice {
  readonly #aligner: LogprobAligner | undefined;
  readonly #reader: Reader;

  constructor(options: ChoiceOptions) {
    this.#aligner = options.tokenBytes && new LogprobAligner(options.tokenBytes);
    this.#reader = readerFor(options, this.#aligner);
  }

  accept(event: EngineEvent): Delta[] {
    if (event.type === "token") {
      this.#aligner?.push(event.token, event.logprob ?? 0, event.top ?? []);
      return this.#reader.push(event.text);
    }
    return event.type === "end" ? this.#end(event) : [];
  }

  #end(event: EndEvent): Delta[] {
    checkEnd(event);
    this.#aligner?.close();
    const deltas = [...this.#reader.push(event.text), ...this.#reader.end()];
    const rest = this.#aligner?.finish(typeof event.matched === "string") ?? [];
    const finish = finishOf(event, this.#reader.calls > 0);
    // What is left of the entries belongs to the last text where there is one.
    const last = deltas.at(-1);
    if (rest.length > 0 && last?.type === "content") {
      deltas[deltas.length - 1] = { ...last, logprobs: [...last.logprobs, ...rest] };
      return [...deltas, { type: "finish", finish, logprobs: [] }];
    }
    return [...deltas, { type: "finish", finish, logprobs: rest }];
  }
}

function readerFor(options: ChoiceOptions, aligner: LogprobAligner | undefined): Reader {
  switch (options.form.kind) {
    case "text":
      return { push: (text) => content(text, aligner), end: () => [], calls: 0 };
    case "auto":
      return new AutoReader(options, aligner);
    case "required":
      return new RequiredReader(options, aligner);
    case "named":
      return new NamedReader(options.form.name, options, aligner);
  }
}

function content(text: string, aligner: LogprobAligner | undefined): Delta[] {
  return text === "" ? [] : [{ type: "content", text, logprobs: aligner?.take(text) ?? [] }];
}

/** Calls where the model makes some, else text. */
class AutoReader implements Reader {
  readonly #options: ChoiceOptions;
  readonly #aligner: LogprobAligner | undefined;
  readonly #detector: ToolDetector;
  calls = 0;

  constructor(options: ChoiceOptions, aligner: LogprobAligner | undefined) {
    this.#options = options;
    this.#aligner = aligner;
    this.#detector = new ToolDetector(options.names);
  }

  push(text: string): Delta[] {
    return this.#detector.push(text).flatMap((found) => this.#deltas(found));
  }

  end(): Delta[] {
    return this.#detector.flush().flatMap((found) => this.#deltas(found));
  }

  #deltas(found: Detected): Delta[] {
    if (found.type === "text") return content(found.text, this.#aligner);
    this.#aligner?.skip(found.source);
    if (found.type === "space" || this.calls > 0 && !this.#options.parallelCalls) return [];
    const call = this.calls++;
    return [
      { type: "call", call, id: `call_${this.#options.randomId()}`, name: found.call.name },
      { type: "arguments", call, text: found.call.arguments },
    ];
  }
}

/** The whole output is a call that names its function. */
class RequiredReader implements Reader {
  readonly #randomId: () => string;
  readonly #aligner: LogprobAligner | undefined;
  readonly #stream = new CallStream();
  calls = 0;

  constructor({ randomId }: ChoiceOptions, aligner: LogprobAligner | undefined) {
    this.#randomId = randomId;
    this.#aligner = aligner;
  }

  push(text: string): Delta[] {
    this.#aligner?.skip(text);
    const args = this.#stream.push(text);
    const { name } = this.#stream;
    const deltas: Delta[] = [];
    if (name !== undefined && this.calls === 0) {
      this.calls = 1;
      deltas.push({ type: "call", call: 0, id: `call_${this.#randomId()}`, name });
    }
    if (args !== "") deltas.push({ type: "arguments", call: 0, text: args });
    return deltas;
  }

  end(): Delta[] {
    return [];
  }
}

/** The whole output is the arguments of a known function. */
class NamedReader implements Reader {
  readonly #name: string;
  readonly #randomId: () => string;
  readonly #aligner: LogprobAligner | undefined;
  calls = 0;

  constructor(name: string, { randomId }: ChoiceOptions, aligner: LogprobAligner | undefined) {
    this.#name = name;
    this.#randomId = randomId;
    this.#aligner = aligner;
  }

  push(text: string): Delta[] {
    if (text === "") return [];
    this.#aligner?.skip(text);
    const deltas: Delta[] = [{ type: "arguments", call: 0, text }];
    if (this.calls++ > 0) return deltas;
    return [{ type: "call", call: 0, id: `call_${this.#randomId()}`, name: this.#name }, ...deltas];
  }

  end(): Delta[] {
    return [];
  }
}
