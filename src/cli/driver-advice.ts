/** How to get a Vulkan driver that WebGPU accepts. */

import { existsSync } from "node:fs";
import process from "node:process";
import { isDebian12 } from "./machine.ts";

const SOURCES = "/etc/apt/sources.list.d";

/**
 * Debian 12 has Mesa 22.3, which Dawn refuses; bookworm-backports has Mesa 25. The machine's own
 * entry is copied with another suite, so that it keeps its mirror and its key.
 */
const debian12 = {
  deb822: [
    `awk -v RS= 'NR == 1' ${SOURCES}/debian.sources | ` +
    `sed 's/^Suites:.*/Suites: bookworm-backports/' | sudo tee ${SOURCES}/backports.sources`,
  ],
  oneLine: [
    "grep -m 1 '^deb .* bookworm ' /etc/apt/sources.list | " +
    `sed 's/ bookworm / bookworm-backports /' | sudo tee ${SOURCES}/backports.list`,
  ],
  install: [
    "sudo apt-get update",
    "sudo apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1",
  ],
} as const;

/** Shell commands, or sentences where no command fits every system. */
export function driverAdvice(): readonly string[] {
  if (process.platform !== "linux") {
    return ["Install the graphics driver of the card's vendor, and the system's updates."];
  }
  if (isDebian12()) {
    const add = existsSync(`${SOURCES}/debian.sources`) ? debian12.deb822 : debian12.oneLine;
    return [...add, ...debian12.install];
  }
  if (existsSync("/usr/bin/apt-get")) {
    return ["sudo apt-get update", "sudo apt-get install mesa-vulkan-drivers libvulkan1"];
  }
  if (existsSync("/usr/bin/dnf")) {
    return ["sudo dnf install mesa-vulkan-drivers vulkan-loader"];
  }
  return ["Install a Vulkan driver: Mesa 24 or newer, or that of the card's vendor."];
}
