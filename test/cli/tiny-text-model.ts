/** A random model with a tokenizer and a chat template, for what does not depend on what it says. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { convert } from "../../weights-manifest/convert.ts";
import { tinyModel, type TinyShape, writeCheckpoint } from "../golden/tiny-model.ts";
import { buildModel, json, SMALL, smallConfig } from "../tokenizer/small-vocabulary.ts";

/** Converts it below `folder` and returns the model folder. */
export async function tinyTextModel(
  folder: string,
  shape: Partial<TinyShape> = {},
  config: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const checkpoint = join(folder, "tiny checkpoint");
  const model = join(folder, "tiny model");
  mkdirSync(checkpoint, { recursive: true });
  const tiny = tinyModel({ vocabulary: SMALL.length, ...shape });
  writeCheckpoint({ ...tiny, config: { ...tiny.config, ...config } }, checkpoint);
  writeFileSync(join(checkpoint, "tokenizer.model"), buildModel({ pieces: SMALL }));
  writeFileSync(join(checkpoint, "tokenizer_config.json"), json(smallConfig()));
  await convert(checkpoint, model);
  return model;
}
