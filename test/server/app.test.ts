import { describe, expect, test } from "bun:test";
import { ArcticError } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { createWaitingApp } from "../../src/server/app.ts";
import { hashKey } from "../../src/server/auth.ts";
import { createLog } from "../../src/server/log.ts";
import { serverSettings } from "../../src/server/settings.ts";
import { errorOf, fakeApp } from "./fake-app.ts";
import { BOS, byteText } from "./fake-services.ts";

describe("health", () => {
  test("is good while the engine lives, and ready too", async () => {
    const { ask } = fakeApp();
    for (const path of ["/health", "/ready"]) {
      const answer = await ask(path);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toEqual({ status: "ok" });
    }
  });

  test("stays good while draining, but nothing more is to be sent", async () => {
    const { ask, app, post } = fakeApp();
    app.admission.drain();
    expect((await ask("/health")).status).toBe(200);
    const answer = await ask("/ready");
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await errorOf(answer)).toMatchObject({ type: "server_error", code: "not_ready" });
    expect((await post("/tokenize", { content: "a" })).status).toBe(503);
  });

  test("is bad while the engine is down", async () => {
    let isUp = false;
    const { ask } = fakeApp({ services: { isUp: () => isUp } });
    expect((await ask("/health")).status).toBe(503);
    expect((await ask("/ready")).status).toBe(503);
    isUp = true;
    expect((await ask("/health")).status).toBe(200);
  });

  test("is bad while the model is loading, and every other route puts off", async () => {
    const settings = serverSettings({ version: "0.0.0-test" });
    const { clock, randomId } = fakeApp().services;
    const app = createWaitingApp(settings, { clock, randomId, log: createLog({ write() {} }) });
    const status = async (path: string, method = "GET") => {
      const headers = { host: "localhost" };
      return (await app.fetch(new Request(`http://localhost${path}`, { method, headers }))).status;
    };
    expect(await status("/health")).toBe(503);
    expect(await status("/ready")).toBe(503);
    expect(await status("/version")).toBe(200);
    expect(await status("/v1/models")).toBe(503);
    expect(await status("/v1/chat/completions", "POST")).toBe(503);
  });
});

describe("models", () => {
  const { ask } = fakeApp();
  const model = {
    ...{ id: "arctic/test", object: "model", created: 1_790_000_000, owned_by: "arctic" },
    max_model_len: 4_096,
  };

  test("are listed", async () => {
    const answer = await ask("/v1/models");
    expect(await answer.json()).toEqual({ object: "list", data: [model] });
  });

  test("are found by a name with an encoded slash", async () => {
    expect(await (await ask("/v1/models/arctic%2Ftest")).json()).toEqual(model);
  });

  test.each(["gpt-4o", "arctic%2Ftest%2Fx", "%ff", "constructor", "%1b%5b31m%0d%0a"])(
    "%s is not found",
    async (name) => {
      const answer = await ask(`/v1/models/${name}`);
      expect(answer.status).toBe(404);
      expect(await errorOf(answer)).toMatchObject({
        ...{ type: "invalid_request_error", code: "model_not_found", param: "model" },
      });
    },
  );
});

describe("tokens", () => {
  const { post } = fakeApp();
  const tokens = async (body: unknown) => {
    const { tokens, count } = await (await post("/tokenize", body)).json() as {
      tokens: number[];
      count: number;
    };
    expect(count).toBe(tokens.length);
    return tokens;
  };

  test("of a text, under either name", async () => {
    expect(await tokens({ content: "ab" })).toEqual([BOS, 97, 98]);
    expect(await tokens({ prompt: "ab" })).toEqual([BOS, 97, 98]);
    expect(await tokens({ prompt: "" })).toEqual([BOS]);
  });

  test("without the one that begins a text", async () => {
    expect(await tokens({ content: "a", add_special: false })).toEqual([97]);
    expect(await tokens({ content: "a", add_special_tokens: false })).toEqual([97]);
  });

  test("with their pieces, which are bytes where they are no text", async () => {
    const pieces = async (content: string) => {
      const answer = await post("/tokenize", { content, with_pieces: true });
      return (await answer.json() as { tokens: unknown }).tokens;
    };
    expect(await pieces("aé\ufeffb")).toEqual([
      { id: BOS, piece: "<s>" },
      { id: 97, piece: "a" },
      ...[0xc3, 0xa9, 0xef, 0xbb, 0xbf].map((id) => ({ id, piece: [id] })),
      { id: 98, piece: "b" },
    ]);
    expect((await pieces("a".repeat(limits.tokenPieces - 1)) as unknown[]).length)
      .toBe(limits.tokenPieces);
    const content = "a".repeat(limits.tokenPieces);
    const tooMany = await post("/tokenize", { content, with_pieces: true });
    expect(tooMany.status).toBe(400);
    expect((await errorOf(tooMany)).param).toBe("with_pieces");
    expect((await post("/tokenize", { content })).status).toBe(200);
  });

  test("of a conversation are those of its text", async () => {
    const messages = [{ role: "user", content: [{ type: "text", text: "h" }] }];
    const prompt = "[user]h\n[assistant]";
    expect(await tokens({ messages })).toEqual([BOS, ...new TextEncoder().encode(prompt)]);
    expect(await (await post("/apply-template", { messages })).json()).toEqual({ prompt });
  });

  test("of a conversation are as many as a generation reads", async () => {
    const messages = [{ role: "developer", content: "d" }, { role: "user", content: "h" }];
    const parameters = { type: "object", properties: {} };
    const tools = [{ type: "function", function: { name: "look", parameters } }];
    const { post, services } = fakeApp();
    for (const body of [{ messages }, { messages, tools }]) {
      expect((await post("/v1/chat/completions", body)).status).toBe(200);
      const { tokens } = await (await post("/tokenize", body)).json() as { tokens: number[] };
      expect(services.engine.requests.at(-1)?.tokens).toEqual(tokens);
    }
  });

  test("back to text", async () => {
    const answer = await post("/detokenize", { tokens: [104, 105] });
    expect(await answer.json()).toEqual({ content: "hi", prompt: "hi" });
  });

  test.each([
    ["/tokenize", {}, null],
    ["/tokenize", { content: "a", prompt: "b" }, null],
    ["/tokenize", { content: 1 }, "content"],
    ["/tokenize", { messages: [] }, "messages"],
    ["/tokenize", { messages: [{ role: "user", content: null }] }, "messages[0].content"],
    [
      "/tokenize",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] },
      "messages[0].content[0].type",
    ],
    [
      "/tokenize",
      { messages: [{ role: "wizard", content: "" }] },
      "messages[0].role",
    ],
    [
      "/tokenize",
      { messages: Array(limits.chatMessages + 1).fill({ role: "user", content: "" }) },
      "messages",
    ],
    ["/detokenize", { tokens: [300] }, "tokens"],
    ["/detokenize", { tokens: [-1] }, "tokens"],
    ["/detokenize", { tokens: [1, 1.5] }, "tokens"],
    ["/detokenize", { tokens: "12" }, "tokens"],
    ["/apply-template", {}, "messages"],
  ])("%s %.60j is refused for %s", async (path, body, param) => {
    const answer = await post(path, body);
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ type: "invalid_request_error", param });
  });

  test("of a model without a tokenizer", async () => {
    const bare = fakeApp({ services: { text: undefined } });
    expect((await bare.post("/tokenize", { content: "a" })).status).toBe(400);
  });

  test("a template's refusal is the request's fault, and holds no place", async () => {
    const text = {
      ...byteText,
      encodeChat: () => Promise.reject(new ArcticError("request_chat_refused", "No user here.")),
    };
    const { post, app } = fakeApp({ services: { text } });
    const answer = await post("/tokenize", { messages: [{ role: "user", content: "" }] });
    expect(answer.status).toBe(400);
    expect((await errorOf(answer)).message).toBe("No user here.");
    expect(app.admission.choices).toBe(0);
  });
});

test("unknown fields are let be", async () => {
  const { post } = fakeApp();
  expect((await post("/tokenize", { content: "a", parse_special: true, x: {} })).status).toBe(200);
});

test("embeddings are not there, and that is said", async () => {
  const answer = await fakeApp().post("/v1/embeddings", { input: "a", model: "m" });
  expect(answer.status).toBe(404);
  expect((await errorOf(answer)).message).toContain("embeddings");
});

describe("without the version, as clients of llama-server ask,", () => {
  test("the routes of the OpenAI API are the same", async () => {
    const { ask, post } = fakeApp();
    expect(await (await ask("/models")).json()).toEqual(await (await ask("/v1/models")).json());
    expect((await ask("/models/arctic%2Ftest")).status).toBe(200);
    const chat = { messages: [{ role: "user", content: "Hi" }], max_tokens: 1 };
    const answer = await (await post("/chat/completions", chat)).json();
    expect(answer).toMatchObject({ object: "chat.completion" });
    const text = await (await post("/completions", { prompt: "Hi", max_tokens: 1 })).json();
    expect(text).toMatchObject({ object: "text_completion" });
    const { message } = await errorOf(await post("/embeddings", { input: "a" }));
    expect(message).toContain("embeddings");
  });

  test("a key is asked for, other methods and names are refused, and others' paths stay unknown", async () => {
    const closed = fakeApp({ settings: { keyHashes: [hashKey("secret")] } });
    expect((await closed.post("/chat/completions", {})).status).toBe(401);
    expect((await closed.ask("/models")).status).toBe(401);
    const { ask, post } = fakeApp();
    expect((await ask("/models", { method: "POST" })).status).toBe(405);
    expect((await ask("/chat/completions")).status).toBe(405);
    expect((await ask("/models/other")).status).toBe(404);
    expect((await ask("/models", { headers: { host: "evil.example" } })).status).toBe(403);
    for (const path of ["/completion", "/chat", "/models/", "/models/a/b", "/streams/x"]) {
      expect([path, (await post(path, {})).status]).toEqual([path, 404]);
    }
  });
});

describe("methods", () => {
  const { ask, app } = fakeApp();

  test.each([...app.routes])("%s takes only its own", async (template, methods) => {
    const path = template.replace(/:\w+/, "arctic%2Ftest");
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"].filter((m) => !methods.has(m))) {
      const answer = await ask(path, { method });
      expect([method, answer.status]).toEqual([method, 405]);
      const allow = answer.headers.get("allow")?.split(", ") ?? [];
      expect(allow).toEqual(expect.arrayContaining([...methods]));
      expect(allow).not.toContain(method);
      expect((await errorOf(answer)).type).toBe("invalid_request_error");
    }
    const options = await ask(path, { method: "OPTIONS" });
    expect(options.status).toBe(204);
    expect(options.headers.get("allow")).toContain([...methods][0] ?? "none");
  });

  test("HEAD is GET without a body", async () => {
    const answer = await ask("/v1/models", { method: "HEAD" });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe("");
    expect((await ask("/tokenize", { method: "HEAD" })).status).toBe(405);
  });

  test("no GET changes anything", async () => {
    const { ask, app, services } = fakeApp();
    const before = await (await ask("/openapi.json")).text();
    for (const [template, methods] of app.routes) {
      if (methods.has("GET")) await (await ask(template.replace(/:\w+/, "x"))).text();
    }
    expect(services.engine.requests).toEqual([]);
    expect(app.admission.choices).toBe(0);
    expect(await (await ask("/openapi.json")).text()).toBe(before);
  });
});

test.each([
  "/nothing",
  "/v1",
  "/v1/",
  "//v1//models",
  "/V1/Models",
  "/v1/models/",
  "/v1/models/a/b",
])(
  "%s is no route",
  async (path) => {
    const answer = await fakeApp().ask(path);
    expect(answer.status).toBe(404);
    expect(await errorOf(answer)).toMatchObject({ type: "invalid_request_error", code: null });
  },
);

describe("the request's id", () => {
  const { ask } = fakeApp();
  const idFor = async (given?: string) =>
    (await ask("/version", given === undefined ? {} : { headers: { "x-request-id": given } }))
      .headers.get("x-request-id");

  test.each(["a", "A-b_c.9", "x".repeat(limits.requestIdCharacters)])(
    "%p is taken",
    async (id) => expect(await idFor(id)).toBe(id),
  );

  test.each([
    ...[
      "",
      "a b",
      "a,b",
      "é",
      "x".repeat(limits.requestIdCharacters + 1),
      "<b>",
      "a;b",
      "\u001b[1m",
    ],
  ])("%.40p is replaced", async (id) => expect(await idFor(id)).toMatch(/^req_id\d+$/));

  test("is a new one each time, and stands in failures too", async () => {
    expect(await idFor()).not.toBe(await idFor());
    expect((await ask("/nothing")).headers.get("x-request-id")).toMatch(/^req_/);
    const refused = await ask("/version", { headers: { host: "evil.example" } });
    expect(refused.headers.get("x-request-id")).toMatch(/^req_/);
  });
});

test("every answer forbids guessing its type and keeping it", async () => {
  const { ask } = fakeApp();
  for (const path of ["/version", "/nothing", "/v1/models/x", "/metrics"]) {
    const { headers } = await ask(path);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("cache-control")).toBe("no-store");
  }
});

test("the API is described by its own schemas", async () => {
  const { ask, app } = fakeApp();
  const document = await (await ask("/openapi.json")).json() as {
    openapi: string;
    paths: Record<string, Record<string, unknown>>;
    components: { schemas: Record<string, unknown> };
  };
  expect(document.openapi).toBe("3.1.0");
  for (const [template, methods] of app.routes) {
    if (template === "/openapi.json") continue;
    const described = document.paths[template.replace(/:(\w+)/, "{$1}")] ?? {};
    expect([template, Object.keys(described)]).toEqual([
      template,
      [...methods].map((method) => method.toLowerCase()),
    ]);
  }
  expect(Object.keys(document.components.schemas)).toContain("Error");
});
