/**
 * Preloaded into a run of tests: takes a guard out of the product as it is loaded. Which one stands in
 * ARCTIC_TEST_WITHOUT by its place in `guards`; nothing is taken out where that is empty.
 *
 *     ARCTIC_TEST_WITHOUT=0 bun test --preload ./test/fault/unguarded.ts test/fault/every-op.test.ts
 */

import process from "node:process";
import { fileURLToPath } from "node:url";
import { guards } from "./guards.ts";

const place = process.env.ARCTIC_TEST_WITHOUT;
const guard = place ? guards[Number(place)] : undefined;

if (guard !== undefined) {
  const file = fileURLToPath(new URL(`../../${guard.file}`, import.meta.url));
  const parts = (await Bun.file(file).text()).split(guard.text);
  if (parts.length !== 2) {
    console.error(`${guard.file} has ${parts.length - 1} of the guard, "${guard.name}", not one`);
    process.exit(3);
  }
  Bun.plugin({
    name: "a guard less",
    setup(build) {
      build.onLoad({ filter: new RegExp(`${RegExp.escape(file)}$`) }, () => ({
        contents: parts.join(guard.without),
        loader: "ts",
      }));
    },
  });
}
