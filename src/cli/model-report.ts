/** What is told about a model folder that was just written. */

import { modelSizes } from "../../weights-manifest/inspect.ts";
import type { Manifest } from "../../weights-manifest/schema.ts";
import type { Context } from "./context.ts";
import { bytes, count } from "./units.ts";

/** For people on standard error, or as one JSON document. */
export async function reportModel(
  folder: string,
  manifest: Manifest,
  json: boolean,
  context: Context,
): Promise<void> {
  const sizes = modelSizes(manifest);
  if (json) return await context.output.json({ model: folder, ...sizes });
  context.messages.line(
    `${folder}: ${count(sizes.parameters)} parameters, ${count(sizes.active_parameters)} active, ` +
      `${bytes(sizes.bytes)}.`,
  );
}
