/** `arctic doctor`: what this machine has, what is missing, and how to get it. */

import { Exit, type ExitCode } from "../errors.ts";
import { limits } from "../limits.ts";
import { cacheFolders } from "../unpack.ts";
import { version } from "../../package.json" with { type: "json" };
import type { Context } from "./context.ts";
import { driverAdvice } from "./driver-advice.ts";
import type { Invocation } from "./flags.ts";
import { type AdapterReport, inspectAdapter } from "./adapter.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { bytes } from "./units.ts";

interface Report {
  readonly arctic: string;
  readonly machine: Machine;
  /** Where files that can be made again are kept: the first that can be written to. */
  readonly cache_folders: readonly string[];
  readonly adapter: AdapterReport | null;
  /** Why there is no adapter; null when there is one. */
  readonly adapter_error: string | null;
  /** What `--backend auto` would run on. */
  readonly backend: "gpu" | "cpu";
  readonly problems: readonly Problem[];
}

interface Problem {
  readonly problem: string;
  /** Commands for a shell, or sentences. */
  readonly remedy: readonly string[];
}

/** Exits with 1 when there is no adapter although --backend asks for one. */
export async function doctor(
  { options }: Invocation<"doctor">,
  context: Context,
): Promise<ExitCode> {
  const report = await examine();
  if (options.json) await context.output.json(report);
  else await context.output.write(render(report));
  return options.backend === "gpu" && report.adapter === null ? Exit.failed : Exit.done;
}

async function examine(): Promise<Report> {
  const machine = describeMachine();
  const found = await inspectAdapter();
  return {
    arctic: version,
    machine,
    cache_folders: cacheFolders(),
    adapter: found.adapter,
    adapter_error: found.error,
    backend: found.adapter === null ? "cpu" : "gpu",
    problems: problems(machine, found.adapter, found.error),
  };
}

function problems(
  machine: Machine,
  adapter: AdapterReport | null,
  error: string | null,
): Problem[] {
  const found: Problem[] = [];
  if (adapter === null) found.push({ problem: error ?? "", remedy: driverAdvice() });
  else if (adapter.software) {
    found.push({
      problem: `The adapter ${adapter.name} computes on the CPU. A graphics card is much faster.`,
      remedy: ["Install the driver of the graphics card, if this machine has one."],
    });
  }
  if (machine.open_files !== null && machine.open_files < limits.openFilesWanted) {
    found.push({
      problem: `A process may open only ${machine.open_files} files.`,
      remedy: [`ulimit -n ${limits.openFilesWanted}`],
    });
  }
  return found;
}

function render(report: Report): string {
  const { machine, adapter } = report;
  const rows: [string, string][] = [
    ["arctic", report.arctic],
    ["system", machine.system],
    ["bun", `${machine.bun}, bun-webgpu (Dawn) ${machine.bun_webgpu}`],
    ["cpu", `${machine.cpu}, ${machine.cores} cores`],
    [
      "memory",
      `${bytes(machine.memory_bytes)}, ${bytes(machine.memory_available_bytes)} available`,
    ],
    ["open files", machine.open_files === null ? "no limit known" : String(machine.open_files)],
    ["cache", report.cache_folders.join(", else ")],
    ["adapter", adapter === null ? "none" : adapter.name],
  ];
  if (adapter !== null) {
    rows.push(
      ["driver", adapter.driver || "unknown"],
      ["kind", adapter.software ? "software" : "hardware"],
      ["features", adapter.features.join(", ") || "none"],
      ["limits", limitText(adapter.limits)],
    );
  }
  rows.push(["runs on", report.backend === "gpu" ? "GPU" : "CPU"]);
  const table = rows.map(([name, value]) => `${`${name}:`.padEnd(13)}${value}\n`).join("");
  return table + report.problems.map(problemText).join("");
}

function problemText({ problem, remedy }: Problem): string {
  return `\n${problem}\n${remedy.map((line) => `    ${line}\n`).join("")}`;
}

function limitText(limits: Readonly<Record<string, number>>): string {
  return Object.entries(limits).map(([name, value]) => `${name} ${value}`).join(
    `,\n${" ".repeat(13)}`,
  );
}
