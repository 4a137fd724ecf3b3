/** The numbers of an engine that took the place of another. */

import type { EngineStats } from "./door.ts";

/** What holds of one moment; everything else counts up. */
const GAUGES = ["running", "waiting", "pagesTotal", "pagesUsed", "pagesCached"] as const;

/** Those of an engine that is gone: what it has done stays, what it held is no more. */
export function idle(stats: EngineStats): EngineStats {
  return { ...stats, ...Object.fromEntries(GAUGES.map((name) => [name, 0])) };
}

/** Those of `now`, counted on from `before`. */
export function added(before: EngineStats, now: EngineStats): EngineStats {
  const gauges = Object.fromEntries(GAUGES.map((name) => [name, now[name]]));
  const sums = Object.fromEntries(
    Object.entries(now).map(([name, value]) => [name, value + before[name as keyof EngineStats]]),
  );
  return { ...now, ...sums, ...gauges };
}
