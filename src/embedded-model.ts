/**
 * Where the embedded model is on disk: in a checkout where it lies; from the compiled program it is
 * unpacked once into a cache folder, under the hash of its content, so that its weights are mapped
 * like any other model's.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type EmbeddedFile, type EmbeddedModel, embeddedModel } from "./embedded-model-files.ts";
import { ArcticError } from "./errors.ts";
import { cacheFolders, inFirstFolder, putFile } from "./unpack.ts";

/** Relative to this file. */
const CHECKOUT = "../weights-manifest/arctic-tiny-sql/model";

/**
 * The folder of the embedded model; undefined where there is none.
 * @throws ArcticError `disk_model_unpack` when no folder can be written to, `weights_damaged` when
 *   the program's own copy is not what was built
 */
export function embeddedModelFolder(): string | undefined {
  if (embeddedModel === null) return undefined;
  if (embeddedModel !== "checkout") return unpackModel(embeddedModel, cacheFolders());
  const folder = fileURLToPath(new URL(CHECKOUT, import.meta.url));
  return existsSync(join(folder, "manifest.msgpack")) ? folder : undefined;
}

/** The model's folder in the first of `folders` that takes it, with every file compared or written. */
export function unpackModel(model: EmbeddedModel, folders: readonly string[]): string {
  return inFirstFolder(
    folders,
    (cache) => {
      const folder = join(cache, `model-${model.hash}`);
      for (const file of model.files) {
        const bytes = readFileSync(file.path);
        putFile(folder, file.name, bytes, 0o400, () => checkSound(file, bytes));
      }
      return folder;
    },
    (reasons, cause) =>
      new ArcticError(
        "disk_model_unpack",
        `The embedded model could not be unpacked to ${folders.join(" or ")} (${reasons}). ` +
          "Set XDG_CACHE_HOME to a folder that can be written to, or give --model DIR.",
        { cause },
      ),
  );
}

function checkSound(file: EmbeddedFile, bytes: Uint8Array): void {
  if (new Bun.CryptoHasher("sha256").update(bytes).digest("hex") === file.sha256) return;
  throw new ArcticError(
    "weights_damaged",
    `The model inside this program is damaged: ${file.name} is not what was built. ` +
      "Copy or build arctic again, or give --model DIR.",
  );
}
