/** How long a server's event loop keeps others waiting, seen through /health. */

import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { mainThreadWaited } from "../support/own-time.ts";
import type { ServedProcess } from "./server.ts";

const REQUEST = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const PAUSE_MS = 4;

export interface ProbeResult {
  readonly count: number;
  /** Milliseconds from a question to its answer, as a client saw them. */
  readonly seen: Percentiles;
  /** The same less the time for which the machine had no processor for either side. */
  readonly own: Percentiles;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
}

export interface Probe {
  /** @throws Error where /health was not answered with 200 every time */
  stop(): Promise<ProbeResult>;
}

/** Asks one question after the other, over one connection. */
export function probeHealth({ port, pid }: Pick<ServedProcess, "port" | "pid">): Probe {
  const seen: number[] = [];
  const own: number[] = [];
  let isStopped = false;
  const run = async () => {
    const socket = connect(port, "127.0.0.1");
    try {
      while (!isStopped) {
        const delayed = mainThreadWaited(pid) + mainThreadWaited();
        const start = performance.now();
        const status = await ask(socket);
        if (status !== 200) throw new Error(`/health answered ${status}`);
        const took = performance.now() - start;
        seen.push(took);
        const waited = mainThreadWaited(pid) + mainThreadWaited() - delayed;
        own.push(Math.max(0, took - waited));
        await Bun.sleep(PAUSE_MS);
      }
    } finally {
      socket.destroy();
    }
  };
  const running = run();
  running.catch(() => {});
  return {
    async stop() {
      isStopped = true;
      await running;
      return { count: seen.length, seen: percentiles(seen), own: percentiles(own) };
    },
  };
}

function ask(socket: ReturnType<typeof connect>): Promise<number> {
  return new Promise((resolve, reject) => {
    const end = () => {
      socket.off("data", read);
      socket.off("error", reject);
      socket.off("close", closed);
    };
    const read = (data: Uint8Array) => {
      end();
      resolve(Number(new TextDecoder().decode(data.subarray(9, 12))));
    };
    const closed = () => {
      end();
      reject(new Error("the server closed the connection of its probe"));
    };
    socket.on("data", read);
    socket.on("error", reject);
    socket.on("close", closed);
    socket.write(REQUEST);
  });
}

/** Bytes of memory that a process holds. */
export function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return 1_024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]);
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), worst: at(1) };
}
