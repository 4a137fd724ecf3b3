import { expect, test } from "bun:test";
import { Metrics } from "../../src/server/metrics.ts";
import { fakeApp } from "./fake-app.ts";
import { FakeEngine, spell } from "./fake-engine.ts";

const NAMES = [
  ...["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"],
  ...["prompt_tokens_total", "generation_tokens_total", "num_preemptions_total"],
  ...["prefix_cache_queries_total", "prefix_cache_hits_total", "request_success_total"],
  ...["time_to_first_token_seconds", "inter_token_latency_seconds"],
  ...["e2e_request_latency_seconds", "request_queue_time_seconds"],
  ...["request_prefill_time_seconds", "request_decode_time_seconds"],
  ...["request_prompt_tokens", "request_generation_tokens", "sink_evicted_tokens_total"],
  ...["numerical_errors_total", "http_requests_total", "http_request_duration_seconds"],
];

/** Values by series, as text. */
function series(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}

test("all series are there before anything happened", async () => {
  const answer = await fakeApp().ask("/metrics");
  expect(answer.headers.get("content-type")).toContain("text/plain");
  const text = await answer.text();
  for (const name of NAMES) expect(text).toContain(`# TYPE arctic:${name} `);
});

test("a generation is measured from its events", async () => {
  const engine = new FakeEngine({ answer: spell("abc"), finishReason: "stop" });
  let time = 1_000;
  const metrics = new Metrics(engine, () => time, () => 7);
  const meter = metrics.meter();
  const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };
  for await (const event of engine.submit({ kind: "generate", tokens: [1, 2], sampling })) {
    if (event.type === "token") time += 2_000;
    meter.observe(event);
  }
  const values = series(await metrics.text());
  const wanted: Readonly<Record<string, number>> = {
    'request_success_total{finished_reason="stop"}': 1,
    'request_success_total{finished_reason="length"}': 0,
    time_to_first_token_seconds_sum: 2,
    time_to_first_token_seconds_count: 1,
    inter_token_latency_seconds_sum: 4,
    inter_token_latency_seconds_count: 2,
    e2e_request_latency_seconds_sum: 6,
    request_queue_time_seconds_sum: 0.001,
    request_prefill_time_seconds_sum: 0.002,
    request_decode_time_seconds_sum: 0.003,
    request_prompt_tokens_sum: 2,
    request_generation_tokens_sum: 3,
    prompt_tokens_total: 2,
    generation_tokens_total: 3,
    num_preemptions_total: 1,
    prefix_cache_hits_total: 2,
    sink_evicted_tokens_total: 5,
    num_choices_admitted: 7,
    kv_cache_usage_perc: 0,
  };
  for (const [name, value] of Object.entries(wanted)) {
    expect([name, values.get(`arctic:${name}`)]).toEqual([name, value]);
  }
});

test("no client can add a series", async () => {
  const { ask, post } = fakeApp();
  const ask404 = async (i: number) => {
    await ask(`/random/${i}`, { method: i % 2 === 0 ? "GET" : "DELETE" });
    await ask(`/v1/models/m${i}`);
    await ask("/version", { method: `M${i}` });
    await post("/tokenize", { content: `${i}` }, { "user-agent": `agent ${i}` });
  };
  for (let i = 0; i < 4; i++) await ask404(i);
  await ask("/metrics");
  const few = series(await (await ask("/metrics")).text()).size;
  for (let i = 4; i < 200; i++) await ask404(i);
  expect(series(await (await ask("/metrics")).text()).size).toBe(few);
});

test("two servers of one process count for themselves", async () => {
  const [one, other] = [fakeApp(), fakeApp()];
  await one.ask("/version");
  await one.ask("/version");
  const name = 'arctic:http_requests_total{method="GET",route="/version",status="200"}';
  expect(series(await (await one.ask("/metrics")).text()).get(name)).toBe(2);
  expect(series(await (await other.ask("/metrics")).text()).get(name)).toBeUndefined();
});
