/** HTTP as bytes on a socket, for requests that no client library would send. */

import { connect } from "node:net";
import { listen, type Listener } from "../../src/server/listen.ts";
import { createLog } from "../../src/server/log.ts";
import { type FakeApp, fakeApp, type FakeAppOptions } from "./fake-app.ts";

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface LiveServer extends FakeApp, AsyncDisposable {
  readonly listener: Listener;
  /**
   * Sends `parts`, one after another, and gives all that comes back until the server closes.
   * @throws Error where it does not
   */
  send(...parts: readonly (string | Uint8Array)[]): Promise<string>;
  /** The same for what may get no answer: closes after some silence itself. */
  sendBriefly(...parts: readonly (string | Uint8Array)[]): Promise<string>;
}

/** Milliseconds of silence for which a test waits: less than an idle connection lives. */
const PATIENCE = 8_000;
const BRIEFLY = 500;

export function liveServer(options: FakeAppOptions = {}): LiveServer {
  const fake = fakeApp(options);
  const log = createLog({ write: (line) => void fake.lines.push(line) });
  const listener = listen(fake.app, fake.settings, log);
  return {
    ...fake,
    listener,
    async send(...parts) {
      const { answer, isClosed } = await exchange(listener.port, parts, PATIENCE);
      if (!isClosed) throw new Error(`the server has not closed the connection: ${answer}`);
      return answer;
    },
    sendBriefly: async (...parts) => (await exchange(listener.port, parts, BRIEFLY)).answer,
    [Symbol.asyncDispose]: async () => void await listener.drain(0),
  };
}

/** Resolves when the server closes, or has been silent for so many milliseconds. */
function exchange(
  port: number,
  parts: readonly (string | Uint8Array)[],
  patience: number,
): Promise<{ readonly answer: string; readonly isClosed: boolean }> {
  const { promise, resolve } = Promise.withResolvers<{ answer: string; isClosed: boolean }>();
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  let isClosed = true;
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const wait = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      isClosed = false;
      socket.destroy();
    }, patience);
  };
  socket.on("data", (data) => {
    answer += data.toString("latin1");
    wait();
  });
  socket.on("error", () => socket.destroy()); // a reset is an end like any other
  socket.on("close", () => {
    clearTimeout(quiet);
    resolve({ answer, isClosed });
  });
  void write(socket, parts).then(() => {
    if (!socket.destroyed) wait();
  });
  return promise;
}

async function write(
  socket: ReturnType<typeof connect>,
  parts: readonly (string | Uint8Array)[],
): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once("close", resolve);
    socket.write(part, () => resolve());
    await promise;
    socket.off("close", resolve);
  }
}

/** The answers in what came back. Bodies are taken by their Content-Length. */
export function answers(raw: string): RawAnswer[] {
  const found: RawAnswer[] = [];
  for (let rest = raw; rest.startsWith("HTTP/1.1 ");) {
    const end = rest.indexOf("\r\n\r\n");
    const [first = "", ...lines] = rest.slice(0, end).split("\r\n");
    const headers = new Map(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }));
    const length = Number(headers.get("content-length") ?? 0);
    const body = rest.slice(end + 4, end + 4 + length);
    found.push({ status: Number(first.split(" ")[1]), headers, body });
    rest = rest.slice(end + 4 + length);
  }
  return found;
}

export interface RequestOptions {
  readonly headers?: readonly string[];
  readonly body?: string;
  /** Leaves the connection open for another request. */
  readonly keep?: boolean;
}

/** A request with a Host header, and a JSON body's headers where it has a body. */
export function request(line: string, options: RequestOptions = {}): string {
  const { headers = [], body, keep = false } = options;
  const length = body === undefined ? [] : [
    "Content-Type: application/json",
    `Content-Length: ${new TextEncoder().encode(body).length}`,
  ];
  const end = keep ? [] : ["Connection: close"];
  const lines = [`${line} HTTP/1.1`, "Host: localhost", ...length, ...end, ...headers];
  return [...lines, "", body ?? ""].join("\r\n");
}
