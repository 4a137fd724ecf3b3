/** The manifest as bytes: MessagePack by msgpackr, with a checksum over everything it says. */

import { join } from "node:path";
import { Packr } from "msgpackr/pack";
import { assert } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import { exists, readSmall } from "./files.ts";
import { guardMsgpack } from "./msgpack-guard.ts";
import { type Manifest, MANIFEST_FILE } from "./schema.ts";
import { validateManifest } from "./validate.ts";

const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** SHA-256 over the JSON text of a manifest: the keys keep their order through MessagePack. */
function checksum(manifest: object): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(manifest)).digest("hex");
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const bytes = packr.pack({ ...manifest, checksum: checksum(manifest) });
  assert(bytes.length <= limits.manifestBytes, "the manifest is larger than its own limit");
  return bytes;
}

/**
 * @param what the file, for messages
 * @throws ArcticError `weights_manifest_*`, `weights_bad_*` and the configuration's own
 */
export function decodeManifest(bytes: Uint8Array, what: string): Manifest {
  guardMsgpack(bytes, what);
  let value: unknown;
  try {
    value = packr.unpack(bytes);
  } catch (cause) {
    throw new ArcticError(
      "weights_manifest_invalid",
      `${what} cannot be decoded. Copy or convert the model again.`,
      { cause },
    );
  }
  if (typeof value === "object" && value !== null && "checksum" in value) {
    const { checksum: stated, ...rest } = value;
    const manifest = validateManifest(rest, what);
    if (stated === checksum(rest)) return manifest;
  } else {
    validateManifest(value, what);
  }
  throw new ArcticError(
    "weights_manifest_damaged",
    `${what} does not match its own checksum. Copy or convert the model again.`,
  );
}

/**
 * The manifest of a model folder.
 * @throws ArcticError `weights_not_a_model` and decodeManifest's
 */
export function readManifest(folder: string): Manifest {
  const path = join(folder, MANIFEST_FILE);
  if (!exists(path)) {
    const hint = exists(join(folder, "config.json"))
      ? " It looks like a checkpoint: convert it with `arctic convert` first."
      : exists(folder)
      ? " An interrupted conversion leaves such a folder; run `arctic convert` again."
      : " It does not exist.";
    throw new ArcticError(
      "weights_not_a_model",
      `${folder} is no model folder: no ${MANIFEST_FILE}.${hint}`,
    );
  }
  return decodeManifest(readSmall(folder, MANIFEST_FILE, limits.manifestBytes), path);
}
