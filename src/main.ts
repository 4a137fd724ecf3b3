import process from "node:process";
import { run } from "./cli/run.ts";

// Device handles keep the event loop alive, so the end is said, not waited for.
process.exit(await run(process.argv.slice(2)));
