/** All kinds of question about one table. */

import { aggregated, count, groupAggregate, groupCount, groupTop, having } from "./aggregating.ts";
import { aboveAverage, arithmetic, byPeriod } from "./computing.ts";
import { distinct, filter, order, selectAll, selectColumns, top } from "./selecting.ts";
import type { SingleTableKind } from "./table-words.ts";

/** Kinds with their weights. */
export const singleTableKinds: readonly (readonly [number, SingleTableKind])[] = [
  [3, selectAll],
  [7, selectColumns],
  [30, filter],
  [10, count],
  [8, aggregated],
  [5, distinct],
  [5, groupCount],
  [5, groupAggregate],
  [6, having],
  [6, order],
  [8, top],
  [4, groupTop],
  [5, aboveAverage],
  [5, arithmetic],
  [4, byPeriod],
];
