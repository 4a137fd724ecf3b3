/**
 * What a chat template may contain: string handling and loops over messages, nothing else. A name
 * outside these lists is refused when the template is compiled, before anything of it runs.
 */

import { Template } from "@huggingface/jinja";
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { isObject, type JsonObject } from "./json.ts";

export type TemplateProgram = Template["parsed"];

const FUNCTIONS = new Set(["namespace", "raise_exception", "range", "caller"]);
const METHODS = new Set([
  ...["strip", "lstrip", "rstrip", "split", "startswith", "endswith", "replace"],
  ...["upper", "lower", "title", "capitalize", "get", "items", "keys", "values"],
]);
// "indent" is left out: a width of a thousand million spaces is one number in a template.
const FILTERS = new Set([
  ...["trim", "upper", "lower", "title", "capitalize", "length", "string", "int", "float", "abs"],
  ...["first", "last", "join", "list", "items", "reverse", "sort", "unique", "map", "dictsort"],
  ...["selectattr", "rejectattr", "default", "replace", "tojson", "safe", "bool", "get"],
]);
const MAX_JSON_INDENT = 16;

export function templateError(kind: string, problem: string, cause?: unknown): ArcticError {
  return new ArcticError(
    `tokenizer_template_${kind}`,
    `The chat template in tokenizer_config.json ${problem}. ` +
      `Use a raw prompt, or restore the template from the model's own repository.`,
    { cause },
  );
}

/** Children of a syntax tree node: everything reachable through arrays, maps and objects. */
function children(node: object): unknown[] {
  if (Array.isArray(node)) return node;
  if (node instanceof Map) return [...node.keys(), ...node.values()];
  return Object.values(node);
}

/** Calls `visit` on every node, parents first, without recursion. */
function walk(root: unknown, visit: (node: JsonObject) => void): void {
  const stack: unknown[] = [root];
  while (stack.length > 0) {
    const node = stack.pop();
    if (typeof node !== "object" || node === null) continue;
    if (isObject(node) && typeof node["type"] === "string") visit(node);
    for (const child of children(node)) stack.push(child);
  }
}

function identifier(node: unknown): string | null {
  if (!isObject(node) || node["type"] !== "Identifier") return null;
  return typeof node["value"] === "string" ? node["value"] : null;
}

function refuseName(kind: string, name: string | null): ArcticError {
  const shown = name === null ? "computes a name and calls it" : `uses the ${kind} "${name}"`;
  return templateError("unsupported", `${shown.slice(0, 100)}, which arctic does not offer`);
}

function checkCall(call: JsonObject, macros: ReadonlySet<string>): void {
  const callee = call["callee"];
  if (isObject(callee) && callee["type"] === "MemberExpression") {
    const name = callee["computed"] === true ? null : identifier(callee["property"]);
    if (name === null || !METHODS.has(name)) throw refuseName("method", name);
    return;
  }
  const name = identifier(callee);
  if (name === null || !(FUNCTIONS.has(name) || macros.has(name))) {
    throw refuseName("function", name);
  }
}

/** Refuses a JSON indentation that is not a small number written out. */
function checkIndent(args: unknown): void {
  walk(args, (node) => {
    if (node["type"] !== "KeywordArgumentExpression" || identifier(node["key"]) !== "indent") {
      return;
    }
    const value = node["value"];
    const width = isObject(value) && value["type"] === "IntegerLiteral" ? value["value"] : null;
    if (typeof width !== "number" || width > MAX_JSON_INDENT) {
      throw refuseName("argument", "indent");
    }
  });
}

/** Checks a filter; a filter with arguments is a call whose callee is the filter's name. */
function checkFilter(filter: unknown): void {
  const call = isObject(filter) && filter["type"] === "CallExpression" ? filter : null;
  const name = identifier(call ? call["callee"] : filter);
  if (name === null || !FILTERS.has(name)) throw refuseName("filter", name);
  if (call) checkIndent(call["args"]);
}

function checkNames(program: TemplateProgram): void {
  const macros = new Set<string>();
  const filters = new Set<unknown>();
  walk(program, (node) => {
    if (node["type"] === "Macro") macros.add(identifier(node["name"]) ?? "");
    if (node["type"] === "FilterExpression" || node["type"] === "FilterStatement") {
      checkFilter(node["filter"]);
      filters.add(node["filter"]);
    }
  });
  walk(program, (node) => {
    if (node["type"] === "CallExpression" && !filters.has(node)) checkCall(node, macros);
  });
}

/**
 * Parses a template and refuses what it may not contain.
 * @param rewrite applied to every literal text of the template
 * @throws tokenizer_template_invalid, tokenizer_template_unsupported
 */
export function compileTemplate(
  source: string,
  rewrite: (literal: string) => string,
): TemplateProgram {
  if (source.length > limits.templateCharacters) {
    throw templateError(
      "invalid",
      `has ${source.length} characters, more than ${limits.templateCharacters}`,
    );
  }
  let program: TemplateProgram;
  try {
    program = new Template(source).parsed;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 200) : "unknown error";
    throw templateError("invalid", `does not parse (${reason})`, cause);
  }
  checkNames(program);
  walk(program, (node) => {
    if (node["type"] === "StringLiteral" && typeof node["value"] === "string") {
      Object.assign(node, { value: rewrite(node["value"]) });
    }
  });
  return program;
}
