/**
 * RELIABILITY rows 64, 67, 68, 71 and 78: `arctic serve` whose device or engine fails while it
 * generates, as its clients and whoever runs it see it.
 */

import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { temporaryFolder } from "../cli/arctic.ts";
import { tinyTextModel } from "../cli/tiny-text-model.ts";
import { type ServedProcess, startServer } from "../clients/server.ts";
import { gpuMissing } from "../support/gpu.ts";
import type { Fault } from "./faulty.ts";
import { complete, endlessStream } from "./streams.ts";

setDefaultTimeout(60_000);

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const folder = temporaryFolder();
const model = await tinyTextModel(folder.path);
afterAll(() => folder.remove());

const running: ServedProcess[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server[Symbol.asyncDispose]();
});

async function faulty(backend: "cpu" | "gpu" = "cpu") {
  const server = await startServer({
    command: [process.execPath, "--preload", path("./faulty.ts"), path("../../src/main.ts")],
    args: ["--model", model],
    backend,
    // The driver keeps its compiled kernels there for the next test.
    env: { HOME: folder.path },
  });
  running.push(server);
  return { ...server, fault: (fault: Fault) => server.tell(fault) };
}

async function health({ url }: ServedProcess): Promise<number> {
  return (await fetch(`${url}/health`)).status;
}

/** What a greedy request of its own gets. */
async function answer(server: ServedProcess): Promise<string> {
  const response = await complete(server, { max_tokens: 12, logprobs: 0 });
  expect(response.status).toBe(200);
  const { choices } = await response.json() as { choices: { text: string }[] };
  return choices[0]?.text ?? "";
}

async function restarted(server: ServedProcess): Promise<void> {
  while (await health(server) !== 200) await Bun.sleep(5);
}

const gone = { type: "server_error", code: expect.stringMatching(/^(not_ready|internal_error)$/) };

test("logits that are no numbers fail one request, and no other", async () => {
  const server = await faulty();
  const expected = await answer(server);
  const streams = [await endlessStream(server), await endlessStream(server)];
  server.fault("nan");
  const failed = await Promise.race(
    streams.map(async (stream, i) => ({ i, how: await stream.ended })),
  );
  expect(failed.how).toMatchObject({ type: "server_error", code: "numerical_error" });
  const other = streams[1 - failed.i];
  await other?.more(20);
  expect(await server.metric("arctic:numerical_errors_total")).toBe(1);
  expect(await answer(server)).toBe(expected);
  other?.leave();
  await server.metricIs("arctic:num_requests_running", 0);
  server.fault("nan");
  // Long enough for the fault to reach the engine's thread while it runs.
  const plain = await complete(server, { max_tokens: 1_000, ignore_eos: true });
  expect([plain.status, plain.headers.get("x-should-retry")]).toEqual([500, "false"]);
  expect(await plain.json()).toMatchObject({ error: { code: "numerical_error" } });
  await server.metricIs("arctic:kv_cache_usage_perc", 0);
});

test("a thread that crashes is replaced once; the second time the process ends with 70", async () => {
  const server = await faulty();
  const expected = await answer(server);
  const stream = await endlessStream(server);
  server.fault("crash");
  expect(await stream.ended).toMatchObject(gone);
  await restarted(server);
  expect(await answer(server)).toBe(expected);
  const second = await endlessStream(server);
  server.fault("crash");
  expect(await second.ended).toMatchObject(gone);
  expect(await server.exited).toBe(70);
  expect(server.stderr()).toContain("engine lost, starting it again");
  expect(server.stderr()).toMatch(/\narctic: The engine's thread has ended/);
});

test("an engine that hangs ends the process with 70, after telling its clients", async () => {
  const server = await faulty();
  const stream = await endlessStream(server);
  server.fault("hang");
  expect(await stream.ended).toMatchObject(gone);
  expect(await server.exited).toBe(70);
  expect(server.stderr()).toMatch(/\narctic: The engine has not moved for \d+ s/);
});

test.skipIf(gpuMissing !== undefined)(
  "a graphics device that is lost is opened again once, and the second time ends the process",
  async () => {
    const server = await faulty("gpu");
    const expected = await answer(server);
    const streams = [await endlessStream(server), await endlessStream(server)];
    server.fault("lost");
    for (const { ended } of streams) expect(await ended).toMatchObject(gone);
    // It is down until the device is back, which takes as long as opening it did.
    expect(await health(server)).toBe(503);
    await restarted(server);
    expect(await answer(server)).toBe(expected);
    expect(await server.metric("arctic:kv_cache_usage_perc")).toBe(0);
    const last = await endlessStream(server);
    server.fault("lost");
    expect(await last.ended).toMatchObject(gone);
    expect(await server.exited).toBe(70);
    expect(server.stderr()).toMatch(/\narctic: The graphics device was lost/);
  },
);

test.skipIf(gpuMissing !== undefined)(
  "a device without memory fails the step it happens in, and the next request is right",
  async () => {
    const server = await faulty("gpu");
    const expected = await answer(server);
    const stream = await endlessStream(server);
    server.fault("memory");
    expect(await stream.ended).toMatchObject({ type: "server_error" });
    expect(await health(server)).toBe(200);
    await server.metricIs("arctic:kv_cache_usage_perc", 0);
    expect(await answer(server)).toBe(expected);
    expect(server.stderr()).toContain("device_out_of_memory");
  },
);
