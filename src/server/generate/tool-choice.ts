/** Which tools the model is told of, and to what its output is held. */

import { badRequest } from "../errors.ts";
import type { ChatBody, ToolDefinition } from "./chat-schema.ts";
import { type GrammarDemand, outputGrammar } from "./output-grammar.ts";

export type OutputForm =
  | { readonly kind: "text" }
  /** Text in which calls are looked for. */
  | { readonly kind: "auto" }
  /** The output is one call: {"name": …, "arguments": …}. */
  | { readonly kind: "required" }
  /** The output is the arguments of this function. */
  | { readonly kind: "named"; readonly name: string };

export interface ToolPlan {
  readonly tools: readonly ToolDefinition[];
  readonly form: OutputForm;
  readonly grammar: GrammarDemand | undefined;
}

/** @throws ApiError 400 for a choice that the tools do not allow, or two demands on one output */
export function planTools(body: ChatBody): ToolPlan {
  const plan = toolPlan(body);
  const own = outputGrammar(body);
  if (own && plan.grammar) {
    throw badRequest(
      "A forced tool call and another form of output exclude each other.",
      "tool_choice",
      "invalid_value",
    );
  }
  // What the client's own grammar forces is its content, even where it looks like a call.
  return own ? { ...plan, form: { kind: "text" }, grammar: own } : plan;
}

function toolPlan(body: ChatBody): ToolPlan {
  const tools = (body.tools ?? []).map((tool) => tool.function);
  checkNames(tools);
  const choice = body.tool_choice ?? (tools.length > 0 ? "auto" : "none");
  if (choice === "none") return { tools: [], form: { kind: "text" }, grammar: undefined };
  if (choice === "auto" || choice === "required") return anyOf(tools, choice);
  if (choice.type === "function") {
    const tool = find(tools, choice.function.name);
    return {
      tools,
      form: { kind: "named", name: tool.name },
      grammar: forced(argumentsSchema(tool)),
    };
  }
  const { mode, tools: allowed } = choice.allowed_tools;
  return anyOf(allowed.map((tool) => find(tools, tool.function.name)), mode);
}

function anyOf(tools: readonly ToolDefinition[], mode: "auto" | "required"): ToolPlan {
  if (mode === "auto") {
    const form: OutputForm = { kind: tools.length > 0 ? "auto" : "text" };
    return { tools, form, grammar: undefined };
  }
  if (tools.length === 0) {
    throw badRequest("tool_choice asks for a call, but there are no tools.", "tool_choice");
  }
  const calls = tools.map((tool) => ({
    type: "object",
    properties: { name: { const: tool.name }, arguments: argumentsSchema(tool) },
    required: ["name", "arguments"],
    additionalProperties: false,
  }));
  return {
    tools,
    form: { kind: "required" },
    grammar: forced(calls.length === 1 ? calls[0] : { anyOf: calls }),
  };
}

function forced(schema: unknown): GrammarDemand {
  return { spec: { kind: "json-schema", schema }, param: "tool_choice" };
}

/** A function without parameters takes an empty object. */
function argumentsSchema({ parameters }: ToolDefinition): Record<string, unknown> {
  if (!parameters || Object.keys(parameters).length === 0) {
    return { type: "object", properties: {}, additionalProperties: false };
  }
  return { type: "object", ...parameters };
}

function checkNames(tools: readonly ToolDefinition[]): void {
  const seen = new Set<string>();
  for (const [index, { name }] of tools.entries()) {
    if (seen.has(name)) {
      throw badRequest(`Two tools have the name ${name}.`, `tools[${index}].function.name`);
    }
    seen.add(name);
  }
}

function find(tools: readonly ToolDefinition[], name: string): ToolDefinition {
  const tool = tools.find((candidate) => candidate.name === name);
  if (tool) return tool;
  throw badRequest(`tool_choice names ${name}, which is not among the tools.`, "tool_choice");
}
