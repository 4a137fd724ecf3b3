/** The xgrammar library (compiled to WebAssembly), as the grammar threads use it. */

import {
  type CompiledGrammar,
  Grammar,
  GrammarCompiler,
  GrammarMatcher,
  Testings,
  TokenizerInfo,
} from "@mlc-ai/web-xgrammar";
import type { GrammarSource } from "./check.ts";
import { withOwnRules } from "./own-rules.ts";
import { type PackedVocabulary, unpackTokens } from "./vocabulary.ts";

/** JSON is written on one line, as in `{"a": [1, 2]}`: white space without end is no answer. */
const ANY_WHITESPACE = false;
const ONE_LINE = -1;
const SEPARATORS: [string, string] = [", ", ": "];
/** Only properties and items that a schema names, where it names any. */
const STRICT = true;

/** The library refused a grammar, in its own words. After that it is in no state to be used again. */
export class CompilerFailure extends Error {
  override readonly name = "CompilerFailure";
}

export interface Compiler {
  /**
   * @returns the grammar, and what the library warned of: parts that it passes over
   * @throws CompilerFailure
   */
  compile(source: GrammarSource): Promise<{ grammar: CompiledGrammar; warnings: string[] }>;
  /** @throws CompilerFailure */
  matcher(grammar: CompiledGrammar): Promise<GrammarMatcher>;
  /** Memory of the library; it never shrinks. */
  heapBytes(): number;
}

/** To be called once in a thread: the library's own state is the thread's. */
export async function openCompiler(vocabulary: PackedVocabulary): Promise<Compiler> {
  const said = captureConsole();
  const memory = captureMemory();
  // The declared type is string[], which would be encoded as UTF-8. The binding takes bytes as they are,
  // which tokens that are part of a character need.
  const tokens = unpackTokens(vocabulary) as unknown as string[];
  const info = await TokenizerInfo.createTokenizerInfo(
    tokens,
    "raw",
    false,
    vocabulary.size,
    [vocabulary.eos],
  );
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
  const guarded = async <T>(run: () => Promise<T>): Promise<T> => {
    said.length = 0;
    try {
      return await run();
    } catch (error) {
      throw new CompilerFailure(reasonIn(said) ?? String(error), { cause: error });
    }
  };
  return {
    compile: async ({ kind, text }) => {
      const grammar = await guarded(async () => {
        const ebnf = kind === "ebnf" ? text : withOwnRules(await ebnfOf(text));
        const parsed = await Grammar.fromEBNF(ebnf, "root");
        // The library keeps the grammar of a text that it is given.
        return await compiler.compileGrammar(parsed).finally(() => parsed.dispose());
      });
      return { grammar, warnings: said.filter((line) => line.startsWith("[WARNING]")).map(words) };
    },
    matcher: (grammar) => guarded(() => GrammarMatcher.createGrammarMatcher(grammar)),
    heapBytes: memory,
  };
}

/** What the library itself compiles of a schema. */
function ebnfOf(schema: string): Promise<string> {
  return Testings._jsonSchemaToEBNF(schema, ANY_WHITESPACE, ONE_LINE, SEPARATORS, STRICT);
}

/** The library prints why it fails; the thread has nothing else to print. */
function captureConsole(): string[] {
  const lines: string[] = [];
  const keep = (...parts: unknown[]) => {
    if (lines.length < 16) lines.push(parts.map(String).join(" "));
  };
  console.log = keep;
  console.warn = keep;
  console.error = keep;
  return lines;
}

/** The library keeps its memory to itself, so it is noted when the module is made. */
function captureMemory(): () => number {
  let memory: WebAssembly.Memory | undefined;
  const instantiate = WebAssembly.instantiate;
  const noting = async (...given: Parameters<typeof instantiate>) => {
    const made: object = await instantiate(...given);
    const instance = "instance" in made ? made.instance : made;
    if (instance instanceof WebAssembly.Instance) {
      memory = Object.values(instance.exports).find((value) => value instanceof WebAssembly.Memory);
    }
    WebAssembly.instantiate = instantiate;
    return made;
  };
  WebAssembly.instantiate = noting as typeof WebAssembly.instantiate;
  return () => memory?.buffer.byteLength ?? 0;
}

function reasonIn(lines: readonly string[]): string | undefined {
  const line = lines.find((text) => text.startsWith("[FATAL]"));
  return line === undefined ? undefined : words(line);
}

/** `[FATAL] /path/to/file.cc:75: What is wrong.` without its path and full stop, on one line. */
function words(line: string): string {
  const text = line.replace(/^\[\w+\]\s+\S+:\d+:\s*/, "").replace(/\s+/g, " ").trim();
  return text.replace(/\.$/, "").slice(0, 300);
}
