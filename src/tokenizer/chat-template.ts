/**
 * The model's own chat template, rendered so that only the template can write special tokens.
 *
 * Every special token spelled in the template's literals is replaced, in the syntax tree, by its id
 * between two delimiters: a private-use character that occurs neither in the template nor in any
 * message. After rendering, what stands between delimiters came from the template and nowhere else;
 * a message that spells `<|im_start|>` is text like any other.
 */

import vm from "node:vm";
import { Environment, Interpreter } from "@huggingface/jinja";
import { assert } from "../assert.ts";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { compileTemplate, templateError, type TemplateProgram } from "./template-check.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** Text, or the id of a special token. */
export type Segment = string | number;

/** Unicode's private use area in the basic plane: 6,400 candidates for the delimiter. */
const PRIVATE_FIRST = 0xe000;
const PRIVATE_COUNT = 0x1900;
const ANY_PRIVATE = /[\ue000-\uf8ff]/;
const MAX_RANGE = 10_000;

/** The template itself called raise_exception: the conversation is at fault. */
class RaisedByTemplate extends Error {}
class TemplateLimit extends Error {}

type RuntimeValue = ReturnType<Interpreter["evaluate"]>;

/** An interpreter that counts nodes visited, nesting and characters handled, and stops at a limit. */
class BoundedInterpreter extends Interpreter {
  #steps: number;
  #depth = 0;
  #characters: number = limits.templateStringCharacters;

  constructor(environment: Environment, steps: number) {
    super(environment);
    this.#steps = steps;
  }

  override evaluate(...args: Parameters<Interpreter["evaluate"]>): RuntimeValue {
    if (--this.#steps < 0) throw new TemplateLimit("too many steps");
    const depth = this.#depth++;
    if (depth > limits.templateDepth) throw new TemplateLimit("too deep a nesting");
    try {
      return this.#charge(super.evaluate(...args));
    } finally {
      this.#depth = depth; // `break` and `continue` leave by throwing
    }
  }

  /** `result`, counted; filters such as `first` may yield none. */
  #charge(result: RuntimeValue): RuntimeValue {
    const value: unknown = (result as RuntimeValue | undefined)?.value;
    if (typeof value === "string") this.#characters -= value.length;
    if (this.#characters < 0) throw new TemplateLimit("too much text");
    if (Array.isArray(value) && value.length > limits.templateItems) {
      throw new TemplateLimit("too long a list");
    }
    return result;
  }
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.ceil((to - from) / step);
  if (!(count <= MAX_RANGE)) throw new TemplateLimit("too long a range");
  return Array.from({ length: Math.max(0, count) }, (_, i) => from + i * step);
}

function raise(message: unknown): never {
  throw new RaisedByTemplate(String(message).slice(0, 500));
}

/** Runs `work`, which nothing but this guard can interrupt, for a bounded time. */
function withinTime<T>(work: () => T): T {
  let result: T | undefined;
  const context = vm.createContext({
    run: () => {
      result = work();
    },
  });
  new vm.Script("run()").runInContext(context, { timeout: limits.templateMilliseconds });
  assert(result !== undefined, "a chat template ended without a result");
  return result;
}

/** A private-use character that is in none of `texts`; null when all are taken. One pass. */
function unusedCharacter(texts: readonly string[]): string | null {
  const used = new Uint8Array(PRIVATE_COUNT);
  for (const text of texts) {
    if (!ANY_PRIVATE.test(text)) continue;
    for (let i = 0; i < text.length; i++) {
      const offset = text.charCodeAt(i) - PRIVATE_FIRST;
      if (offset >= 0 && offset < PRIVATE_COUNT) used[offset] = 1;
    }
  }
  const free = used.indexOf(0);
  return free < 0 ? null : String.fromCharCode(PRIVATE_FIRST + free);
}

/** A pattern that finds any of `words`, the longest first; null when there are none. */
function anyOf(words: Iterable<string>): RegExp | null {
  const sorted = [...words].sort((a, b) => b.length - a.length);
  if (sorted.length === 0) return null;
  const escaped = sorted.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(escaped.join("|"), "g");
}

export interface TemplateSettings {
  readonly source: string;
  /** Spelling to id of every token that the template, and it alone, may write. */
  readonly specials: ReadonlyMap<string, number>;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
}

export class ChatTemplate {
  readonly #settings: TemplateSettings;
  readonly #pattern: RegExp | null;
  readonly #ids: ReadonlySet<number>;
  #compiled: { readonly delimiter: string; readonly program: TemplateProgram } | null = null;

  /**
   * Compiles the template and tries it on a short conversation.
   * @throws tokenizer_template_invalid when it does not parse, tokenizer_template_unsupported when it
   *   calls what arctic does not offer or puts special tokens together from parts
   */
  constructor(settings: TemplateSettings) {
    this.#settings = settings;
    this.#pattern = anyOf(settings.specials.keys());
    this.#ids = new Set(settings.specials.values());
    this.#probe();
  }

  /** A marker assembled from parts would silently become text: better no chat than a wrong one. */
  #probe(): void {
    const messages = [{ role: "user", content: "" }, { role: "assistant", content: "" }];
    let segments: Segment[];
    try {
      segments = this.render([...messages, ...messages.slice(0, 1)]);
    } catch (error) {
      if (error instanceof ArcticError && error.code.startsWith("request_")) return;
      throw error;
    }
    const spelled = segments.find((segment) =>
      typeof segment === "string" && this.#pattern !== null && segment.search(this.#pattern) >= 0
    );
    if (spelled !== undefined) {
      throw templateError("unsupported", "puts a special token together from parts");
    }
  }

  /**
   * The conversation as the model expects it, up to where its answer begins. Roles and contents are
   * taken verbatim, except that lone surrogates become U+FFFD.
   * @throws request_chat_refused when the template rejects the conversation,
   *   tokenizer_template_limit, tokenizer_template_failed
   */
  render(messages: readonly ChatMessage[]): Segment[] {
    const clean = messages.map(({ role, content }) => ({
      role: role.toWellFormed(),
      content: content.toWellFormed(),
    }));
    const texts = clean.flatMap(({ role, content }) => [role, content]);
    const delimiter = unusedCharacter([this.#settings.source, ...texts]);
    if (delimiter === null) {
      throw new ArcticError(
        "request_chat_refused",
        "The messages use every private-use character of Unicode, and one must be free to mark the " +
          "template's special tokens. Remove one.",
      );
    }
    return this.#segments(this.#run(this.#program(delimiter), delimiter, clean), delimiter);
  }

  #mark(text: string, delimiter: string): string {
    if (this.#pattern === null) return text;
    return text.replace(
      this.#pattern,
      (token) => `${delimiter}${this.#settings.specials.get(token)}${delimiter}`,
    );
  }

  #program(delimiter: string): TemplateProgram {
    if (this.#compiled?.delimiter !== delimiter) {
      const program = compileTemplate(
        this.#settings.source,
        (literal) => this.#mark(literal, delimiter),
      );
      this.#compiled = { delimiter, program };
    }
    return this.#compiled.program;
  }

  #run(program: TemplateProgram, delimiter: string, messages: readonly ChatMessage[]): string {
    const environment = new Environment();
    const globals: Record<string, unknown> = {
      ...{ true: true, True: true, false: false, False: false, none: null, None: null },
      ...{ range, raise_exception: raise, messages, add_generation_prompt: true },
      bos_token: this.#mark(this.#settings.bosToken ?? "", delimiter),
      eos_token: this.#mark(this.#settings.eosToken ?? "", delimiter),
    };
    for (const [name, value] of Object.entries(globals)) environment.set(name, value);
    const steps = limits.templateSteps + limits.templateStepsPerMessage * messages.length;
    try {
      return withinTime(() =>
        String(new BoundedInterpreter(environment, steps).run(program).value)
      );
    } catch (cause) {
      throw renderError(cause);
    }
  }

  #segments(rendered: string, delimiter: string): Segment[] {
    const parts = rendered.split(delimiter);
    if (parts.length % 2 === 0) throw templateError("unsupported", "cuts a special token apart");
    const segments: Segment[] = [];
    for (const [index, part] of parts.entries()) {
      if (index % 2 === 1) {
        const id = /^\d{1,7}$/.test(part) ? Number(part) : -1;
        if (!this.#ids.has(id)) throw templateError("unsupported", "cuts a special token apart");
        segments.push(id);
      } else if (part !== "") segments.push(part);
    }
    return segments;
  }
}

function renderError(cause: unknown): ArcticError {
  if (cause instanceof RaisedByTemplate) {
    return new ArcticError(
      "request_chat_refused",
      `The model's chat template refuses these messages: ${cause.message}`,
      { cause },
    );
  }
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (cause instanceof TemplateLimit || code === "ERR_SCRIPT_EXECUTION_TIMEOUT") {
    const what = cause instanceof TemplateLimit ? cause.message : "too much time";
    return templateError("limit", `takes ${what} on these messages`, cause);
  }
  const reason = cause instanceof Error ? cause.message.slice(0, 200) : "unknown error";
  return templateError("failed", `failed on these messages (${reason})`, cause);
}
