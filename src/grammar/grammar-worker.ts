/**
 * A thread of grammars. One tries what clients send, and is ended when that takes too long; others keep
 * what has passed and follow it.
 */

import process from "node:process";
import type { CompiledGrammar, GrammarMatcher } from "@mlc-ai/web-xgrammar";
import { defined } from "../assert.ts";
import { limits } from "../limits.ts";
import type { GrammarSource } from "./check.ts";
import { type Compiler, CompilerFailure, openCompiler } from "./compiler.ts";
import { Budget, MatcherServer, TOO_SLOW } from "./matcher.ts";
import type { OpenMatcher, ThreadReply, ThreadRequest } from "./messages.ts";
import { ownTask } from "./thread-time.ts";
import { Utf8Text, Utf8Tokens } from "./utf8.ts";
import type { PackedVocabulary } from "./vocabulary.ts";

declare const self: Worker;

const clock = () => performance.now();
/** Milliseconds that this thread has computed: a busy machine makes no grammar look slow. */
const cpuClock = () => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
};
const say = (reply: ThreadReply) => self.postMessage(reply);

class GrammarThread {
  readonly #compiler: Compiler;
  readonly #eos: number;
  readonly #tokens: Utf8Tokens;
  readonly #grammars = new Map<number, CompiledGrammar>();

  constructor(compiler: Compiler, vocabulary: PackedVocabulary) {
    this.#compiler = compiler;
    this.#eos = vocabulary.eos;
    this.#tokens = new Utf8Tokens(vocabulary);
  }

  static async start(vocabulary: PackedVocabulary): Promise<GrammarThread> {
    const compiler = await openCompiler(vocabulary);
    const thread = new GrammarThread(compiler, vocabulary);
    // The first compilation of a thread takes ten times as long as later ones.
    const { grammar } = await compiler.compile({ kind: "json-schema", text: '{"type":"object"}' });
    await thread.#fault(grammar);
    grammar.dispose();
    return thread;
  }

  async handle(request: Exclude<ThreadRequest, { type: "start" }>): Promise<void> {
    switch (request.type) {
      case "try":
        return await this.#try(request.id, request.source);
      case "keep": {
        const started = clock();
        const { grammar } = await this.#compiler.compile(request.source);
        this.#grammars.set(request.id, grammar);
        return this.#compiled(request.id, clock() - started);
      }
      case "forget":
        this.#grammars.get(request.id)?.dispose();
        this.#grammars.delete(request.id);
        return;
      case "open":
        return await this.#open(request);
    }
  }

  async #try(id: number, source: GrammarSource): Promise<void> {
    const started = clock();
    const { grammar, warnings } = await this.#compiler.compile(source);
    const milliseconds = clock() - started;
    const reason = warnings[0] ?? await this.#fault(grammar);
    grammar.dispose();
    if (reason === undefined) this.#compiled(id, milliseconds);
    else say({ type: "refused", id, reason });
  }

  /** Follows a grammar along the first tokens it admits, each further on than the last. */
  async #fault(grammar: CompiledGrammar): Promise<string | undefined> {
    const matcher = await this.#compiler.matcher(grammar);
    try {
      const budget = new Budget(cpuClock);
      let token = -1;
      for (let i = 0; i < limits.grammarTrialTokens; i++) {
        let next: number | undefined;
        const inTime = await budget.spend(async () => {
          if (token >= 0) matcher.acceptToken(token);
          next = await this.#nextToken(matcher, 1 + i * i);
        });
        if (!inTime) return TOO_SLOW;
        if (next === undefined && i === 0) return "it admits no text that the model can write";
        if (next === undefined || next === this.#eos) return undefined;
        token = next;
      }
      return undefined;
    } finally {
      matcher.dispose();
    }
  }

  /** The n-th admitted token, or the last where there are fewer, the end of the text only if need be. */
  async #nextToken(matcher: GrammarMatcher, n: number): Promise<number | undefined> {
    const mask = await matcher.getNextTokenBitmask();
    let found: number | undefined;
    let canEnd = false;
    for (let token = 0, left = n; token < mask.length * 32 && left > 0; token++) {
      if (((defined(mask[token >>> 5], "a word of the mask") >>> (token & 31)) & 1) === 0) continue;
      if (token === this.#eos) {
        canEnd = true;
      } else {
        found = token;
        left--;
      }
    }
    return found ?? (canEnd ? this.#eos : undefined);
  }

  async #open({ id, port, mask }: OpenMatcher): Promise<void> {
    const grammar = this.#grammars.get(id);
    if (grammar === undefined) {
      port.postMessage({ code: "engine_grammar", message: `Grammar ${id} is not compiled` });
      return port.close();
    }
    const matcher = await this.#compiler.matcher(grammar);
    const text = new Utf8Text(this.#tokens);
    new MatcherServer(matcher, text, { port, mask }, this.#eos, new Budget(cpuClock), sayBroken);
  }

  #compiled(id: number, milliseconds: number): void {
    say({ type: "compiled", id, milliseconds, heapBytes: this.#compiler.heapBytes() });
  }
}

function sayBroken(error: unknown, id?: number): void {
  const reason = error instanceof CompilerFailure ? error.message : String(error).slice(0, 300);
  say({ type: "broken", id, reason });
}

let thread: Promise<GrammarThread> | undefined;
let last: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<ThreadRequest>) => {
  if (data.type === "start") {
    thread = GrammarThread.start(data.vocabulary);
    thread.then(() => say({ type: "started", task: ownTask() }), sayBroken);
    return;
  }
  last = last
    .then(async () => await (await defined(thread, "the vocabulary")).handle(data))
    .catch((error) => sayBroken(error, data.id));
};
