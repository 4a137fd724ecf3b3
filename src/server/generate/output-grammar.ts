/** What a client holds the whole of an output to, under any of the names there are for it. */

import type { GrammarSpec } from "../../grammar/grammar.ts";
import { badRequest } from "../errors.ts";
import type { CommonFields } from "./fields.ts";

export interface GrammarDemand {
  readonly spec: GrammarSpec;
  /** The field that asks for it. */
  readonly param: string;
}

/** @throws ApiError 400 for two demands on one output */
export function outputGrammar(fields: CommonFields): GrammarDemand | undefined {
  const { grammar, json_schema: schema, response_format: format } = fields;
  const demands: GrammarDemand[] = [];
  if (grammar) demands.push({ spec: { kind: "ebnf", text: grammar }, param: "grammar" });
  if (schema) demands.push({ spec: { kind: "json-schema", schema }, param: "json_schema" });
  if (format && format.type !== "text") {
    demands.push({ spec: formatSpec(format), param: "response_format" });
  }
  const [first, second] = demands;
  if (!first || !second) return first;
  throw badRequest(
    `${first.param} and ${second.param} exclude each other.`,
    first.param,
    "invalid_value",
  );
}

type Format = Exclude<NonNullable<CommonFields["response_format"]>, { type: "text" }>;

/** A `json_object` may bring a schema, as llama-server takes it. */
function formatSpec(format: Format): GrammarSpec {
  const schema = format.type === "json_object" ? format.schema : format.json_schema.schema;
  return schema ? { kind: "json-schema", schema } : { kind: "json" };
}
