/** What can be said about this machine without a graphics device. */

import { existsSync, readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import process from "node:process";
import { dependencies } from "../../package.json" with { type: "json" };

export interface Machine {
  readonly system: string;
  readonly bun: string;
  /** Version of the package that carries Dawn, Google's WebGPU. */
  readonly bun_webgpu: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memory_bytes: number;
  /** What a new program can have without swapping. */
  readonly memory_available_bytes: number;
  /** Files that the process may have open; null where the system does not tell. */
  readonly open_files: number | null;
}

export function describeMachine(): Machine {
  return {
    system: `${distribution() ?? platform()} ${arch()}, kernel ${release()}`,
    bun: process.versions.bun ?? "",
    bun_webgpu: dependencies["bun-webgpu"],
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    memory_available_bytes: memoryAvailable() ?? freemem(),
    open_files: openFiles(),
  };
}

/** The text of a small file of the system, or undefined where there is none. */
function systemFile(path: string): string | undefined {
  try {
    return existsSync(path) ? readFileSync(path, "utf8") : undefined;
  } catch {
    // Not being allowed to read it is the same as not having it: a report lacks one line.
    return undefined;
  }
}

function distribution(): string | undefined {
  return /^PRETTY_NAME="?([^"\n]+)/m.exec(systemFile("/etc/os-release") ?? "")?.[1];
}

/** Whether this is Debian 12, whose own Mesa is too old for Dawn. */
export function isDebian12(): boolean {
  const text = systemFile("/etc/os-release") ?? "";
  return /^ID=debian$/m.test(text) && /^VERSION_ID="12"$/m.test(text);
}

function memoryAvailable(): number | undefined {
  const match = /^MemAvailable: +(\d+) kB$/m.exec(systemFile("/proc/meminfo") ?? "");
  return match === null ? undefined : Number(match[1]) * 1024;
}

function openFiles(): number | null {
  const match = /^Max open files +(\d+)/m.exec(systemFile("/proc/self/limits") ?? "");
  return match === null ? null : Number(match[1]);
}
