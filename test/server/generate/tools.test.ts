/** Tools and forms of output: what the model is told, held to, and what is made of its text. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { GrammarSpec } from "../../../src/grammar/grammar.ts";
import { ToolDetector } from "../../../src/server/generate/tool-detector.ts";
import { ArcticError } from "../../../src/errors.ts";
import { spell } from "../fake-engine.ts";
import { answerOf, CHAT, choicesOf, COMPLETIONS, harness, hello } from "./harness.ts";

const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather somewhere",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const clock = { type: "function", function: { name: "clock" } };
const tools = [weather, clock];

/** Grammars that compile to their number, and count who holds one. */
function fakeGrammars() {
  const specs: GrammarSpec[] = [];
  const counts = { held: 0, released: 0 };
  const compile = (spec: GrammarSpec) => {
    specs.push(spec);
    counts.held++;
    let isHeld = true;
    return Promise.resolve({
      id: specs.length,
      release: () => {
        expect(isHeld).toBe(true);
        isHeld = false;
        counts.held--;
        counts.released++;
      },
    });
  };
  return { specs, counts, compile };
}

const callText = '<tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>';
const callOf = (name: string, args: string) => ({
  id: expect.stringMatching(/^call_\w+$/),
  type: "function",
  function: { name, arguments: args },
});

test.each([
  ["in its marker", callText],
  ["with white space around", `\n${callText}\n`],
  ["bare", '{"name": "weather", "arguments": {"city": "Bern"}}'],
  ["without its end", callText.slice(0, -12)],
])("a call %s", async (_, text) => {
  const h = harness({ answer: spell(text) });
  const { choices } = await answerOf(await h.post(CHAT, { messages: hello, tools }));
  expect(choices[0]?.finish_reason).toBe("tool_calls");
  expect(choices[0]?.message as unknown).toEqual({
    role: "assistant",
    content: null,
    refusal: null,
    tool_calls: [callOf("weather", '{"city":"Bern"}')],
  });
});

test.each([
  "Just text, with < and <tool and {braces}.",
  '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
  "<tool_call>no JSON</tool_call> and more",
  '{"name": "weather", "arguments": {}, "more": 1}',
  '{"name": "weather"} is how it begins',
  '{"city": "Bern"}',
  "<tool_call>",
])("what is no call stays text: %s", async (text) => {
  const h = harness({ answer: spell(text) });
  const { choices } = await answerOf(await h.post(CHAT, { messages: hello, tools }));
  expect(choices[0]?.message.content).toBe(text);
  expect(choices[0]?.message.tool_calls).toBeUndefined();
  expect(choices[0]?.finish_reason).toBe("stop");
});

test("text, then two calls, in a stream", async () => {
  const second = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>';
  const h = harness({ answer: spell(`Let me see. ${callText}\n${second}`) });
  const choices = await choicesOf(await h.post(CHAT, { messages: hello, tools, stream: true }));
  const deltas = choices.map(({ delta }) => delta);
  expect(deltas.map((delta) => delta.content ?? "").join("")).toBe("Let me see. ");
  expect(deltas.flatMap((delta) => delta.tool_calls ?? [])).toEqual([
    { index: 0, ...callOf("weather", "") },
    { index: 0, function: { arguments: '{"city":"Bern"}' } },
    { index: 1, ...callOf("clock", "") },
    { index: 1, function: { arguments: "{}" } },
  ]);
  expect(choices.at(-1)?.finish_reason).toBe("tool_calls");
  const one = await answerOf(
    await h.post(CHAT, { messages: hello, tools, parallel_tool_calls: false }),
  );
  expect(one.choices[0]?.message.tool_calls?.length).toBe(1);
});

test("the model is told of the tools it may call", async () => {
  const seen: string[] = [];
  const prompts = (h: ReturnType<typeof harness>) => ({
    ...h.services,
    text: h.services.text && {
      ...h.services.text,
      encodeChat: (messages: readonly { role: string; content: string }[]) => {
        seen.push(messages.map(({ role, content }) => `${role}:${content}`).join("|"));
        return Promise.resolve([1]);
      },
    },
  });
  const h = harness(undefined, prompts(harness()));
  await h.post(CHAT, { messages: hello, tools });
  await h.post(CHAT, { messages: hello, tools, tool_choice: "none" });
  const allowed_tools = { mode: "auto", tools: [clock] };
  await h.post(CHAT, {
    messages: hello,
    tools,
    tool_choice: { type: "allowed_tools", allowed_tools },
  });
  expect(seen[0]).toContain('{"name":"weather","description":"The weather somewhere"');
  expect(seen[0]).toContain("<tool_call>");
  expect(seen[1]).toBe("user:Hi");
  expect(seen[2]).toContain('"clock"');
  expect(seen[2]).not.toContain('"weather"');
});

test("a required call is held to the tools, and its arguments come in pieces", async () => {
  const grammars = fakeGrammars();
  const text = '{"name": "weather", "arguments": {"city": "a\\"}b"}}';
  const h = harness({ answer: spell(text) }, { grammars });
  const body = { messages: hello, tools, tool_choice: "required", stream: true };
  const choices = await choicesOf(await h.post(CHAT, body));
  const calls = choices.flatMap(({ delta }) => delta.tool_calls ?? []) as {
    id?: string;
    function: { arguments: string };
  }[];
  expect(calls[0] as unknown).toEqual({ index: 0, ...callOf("weather", "") });
  expect(calls.filter(({ id }) => id !== undefined).length).toBe(1);
  expect(calls.map((call) => call.function.arguments).join("")).toBe('{"city": "a\\"}b"}');
  expect(calls.length).toBeGreaterThan(5);
  expect(choices.every(({ delta }) => !delta.content)).toBe(true);
  expect(choices.at(-1)?.finish_reason).toBe("tool_calls");
  expect(grammars.specs[0]).toMatchObject({
    kind: "json-schema",
    schema: {
      anyOf: [
        { properties: { name: { const: "weather" }, arguments: weather.function.parameters } },
        { properties: { name: { const: "clock" } } },
      ],
    },
  });
  expect(h.services.engine.requests[0]).toMatchObject({ grammar: 1 });
  expect(grammars.counts).toEqual({ held: 0, released: 1 });
});

test("a named call is its arguments; cut short it ends by length", async () => {
  const grammars = fakeGrammars();
  const h = harness({ answer: spell('{"city": "Bern"}') }, { grammars });
  const body = {
    messages: hello,
    tools,
    n: 2,
    tool_choice: { type: "function", function: { name: "weather" } },
  };
  const { choices } = await answerOf(await h.post(CHAT, body));
  expect(choices.map(({ message }) => message.tool_calls) as unknown).toEqual([
    [callOf("weather", '{"city": "Bern"}')],
    [callOf("weather", '{"city": "Bern"}')],
  ]);
  expect(choices[0]?.finish_reason).toBe("tool_calls");
  expect(grammars.specs).toEqual([{ kind: "json-schema", schema: weather.function.parameters }]);
  const cut = await answerOf(await h.post(CHAT, { ...body, max_tokens: 4 }));
  expect(cut.choices[0]?.finish_reason).toBe("length");
  expect(grammars.counts).toEqual({ held: 0, released: 2 });
});

test.each([
  [{ response_format: { type: "json_object" } }, { kind: "json" }],
  [
    {
      response_format: {
        type: "json_schema",
        json_schema: { name: "x", schema: { type: "null" } },
      },
    },
    { kind: "json-schema", schema: { type: "null" } },
  ],
  [
    { response_format: { type: "json_object", schema: { const: 42 } } },
    { kind: "json-schema", schema: { const: 42 } },
  ],
  [{ json_schema: { const: 42 } }, { kind: "json-schema", schema: { const: 42 } }],
  [{ grammar: 'root ::= "a"' }, { kind: "ebnf", text: 'root ::= "a"' }],
])("%j is compiled and released once, however it ends", async (fields, spec) => {
  const grammars = fakeGrammars();
  const error = new ArcticError("engine_numerical_error", "NaN");
  const h = harness({ answer: spell("{}") }, { grammars });
  expect((await h.post(CHAT, { messages: hello, ...fields })).status).toBe(200);
  h.services.engine.script = { answer: spell("{}"), failure: { after: 0, error } };
  expect((await h.post(CHAT, { messages: hello, ...fields, stream: true })).status).toBe(500);
  expect(grammars.specs as unknown).toEqual([spec, spec]);
  expect(grammars.counts).toEqual({ held: 0, released: 2 });
});

test.each([
  ["response_format", { response_format: { type: "json_object" } }],
  ["json_schema", { json_schema: { type: "hiccup" } }],
  ["grammar", { grammar: "root ::= (" }],
  ["tool_choice", { tools, tool_choice: "required" }],
])("a bad grammar is 400 naming its field: %s", async (param, fields) => {
  const compile = () => Promise.reject(new ArcticError("request_bad_grammar", "Too deep."));
  const h = harness(undefined, { grammars: { compile } });
  const response = await h.post(CHAT, { messages: hello, ...fields });
  expect(response.status).toBe(400);
  expect((await answerOf(response)).error.param).toBe(param);
  expect(h.app.admission.choices).toBe(0);
});

test("text completions are held to a response_format too", async () => {
  const grammars = fakeGrammars();
  const h = harness({ answer: spell("42") }, { grammars });
  const schema = { const: 42 };
  const body = { prompt: "x", response_format: { type: "json_object", schema } };
  expect((await h.post("/v1/completions", body)).status).toBe(200);
  expect(grammars.specs as unknown).toEqual([{ kind: "json-schema", schema }]);
  const both = await h.post("/v1/completions", { ...body, json_schema: schema });
  expect(both.status).toBe(400);
});

test("text completions are held to a schema too", async () => {
  const grammars = fakeGrammars();
  const h = harness({ answer: spell("42") }, { grammars });
  const body = { prompt: "x", json_schema: { const: 42 } };
  expect((await h.post(COMPLETIONS, body)).status).toBe(200);
  expect(grammars.specs).toEqual([{ kind: "json-schema", schema: { const: 42 } }]);
  expect(h.services.engine.requests[0]).toMatchObject({ grammar: 1 });
  expect(grammars.counts).toEqual({ held: 0, released: 1 });
});

test("what the detector finds does not depend on how the text is cut, and is all of it", () => {
  const part = fc.constantFrom(
    ...["<tool_call>", "</tool_call>", "<", "tool", "{", "}", "\n", " ", "x"],
    ...['{"name": "f", "arguments": {}}', '{"name":', '"f"', '"arguments"', ",", ":"],
  );
  const names = new Set(["f"]);
  const detect = (pieces: readonly string[]) => {
    const detector = new ToolDetector(names);
    const found = [...pieces.flatMap((piece) => detector.push(piece)), ...detector.flush()];
    const joined: string[] = [];
    let wasText = false;
    for (const one of found) {
      const shown = one.type === "text" ? one.text : `[${one.type}:${one.source}]`;
      if (one.type === "text" && wasText) joined.push(`${joined.pop()}${shown}`);
      else joined.push(shown);
      wasText = one.type === "text";
    }
    const whole = found.map((one) => one.type === "text" ? one.text : one.source).join("");
    return { joined, whole };
  };
  fc.assert(fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
    const text = parts.join("");
    const byCharacter = detect([...text]);
    expect(byCharacter.whole).toBe(text);
    expect(detect(parts)).toEqual(byCharacter);
    expect(detect([text])).toEqual(byCharacter);
  }));
});
