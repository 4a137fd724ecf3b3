/**
 * Puts the files of a model folder into the compiled program, in the place of
 * src/embedded-model-files.ts.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { EmbeddedFile, EmbeddedModel } from "../src/embedded-model-files.ts";

const MODULE = /[/\\]src[/\\]embedded-model-files\.ts$/;

/** What may be added to the size of the binary. */
const MOST_BYTES = 16_000_000;

export interface EmbeddedModelPlugin {
  readonly plugin: Bun.BunPlugin;
  /** Whether there is a model to embed. */
  readonly present: boolean;
}

/** @throws Error when the folder holds more than a binary should carry */
export function embedModel(folder: string): EmbeddedModelPlugin {
  const model = readModel(folder);
  const contents = model === null ? "export const embeddedModel = null;" : moduleText(model);
  return {
    present: model !== null,
    plugin: {
      name: "embedded-model",
      setup(build) {
        build.onLoad({ filter: MODULE }, () => ({ contents, loader: "js" }));
      },
    },
  };
}

function readModel(folder: string): EmbeddedModel | null {
  if (!existsSync(join(folder, "manifest.msgpack"))) return null;
  const all = new Bun.CryptoHasher("sha256");
  let total = 0;
  const files = readdirSync(folder).sort().map((name): EmbeddedFile => {
    const path = join(folder, name);
    const bytes = readFileSync(path);
    total += bytes.length;
    const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    all.update(`${name} ${sha256}\n`);
    return { name, path, sha256 };
  });
  if (total > MOST_BYTES) {
    throw new Error(`${folder} has ${total} bytes, and the program carries ${MOST_BYTES} at most.`);
  }
  return { hash: all.digest("hex"), files };
}

/** JavaScript whose imports make the bundler embed the files. */
function moduleText({ hash, files }: EmbeddedModel): string {
  const imports = files.map(({ path }, i) =>
    `import file${i} from ${JSON.stringify(path)} with { type: "file" };\n`
  );
  const entries = files.map(({ name, sha256 }, i) =>
    `{ name: ${JSON.stringify(name)}, path: file${i}, sha256: "${sha256}" },\n`
  );
  return `${imports.join("")}export const embeddedModel = {\n` +
    `hash: "${hash}",\nfiles: [\n${entries.join("")}],\n};\n`;
}
