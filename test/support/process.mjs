/** Runs a command of the test suite, shows what it prints, and keeps a copy. */

import { spawn } from "node:child_process";

/**
 * @param {string[]} command program and arguments
 * @param {{cwd: string, env?: NodeJS.ProcessEnv, quiet?: boolean, minutes?: number}} options
 *   quiet: print the output only when the command fails
 * @returns {Promise<{ok: boolean, output: string, reason: string}>} reason: how it ended
 */
export function run(command, { cwd, env = process.env, quiet = false, minutes = 14 }) {
  return new Promise((resolve) => {
    const [program = "", ...rest] = command;
    const child = spawn(program, rest, {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: minutes * 60_000,
      killSignal: "SIGKILL",
    });
    let output = "";
    const keep = (/** @type {Buffer} */ chunk) => {
      output += chunk;
      if (!quiet) process.stdout.write(chunk);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const end = (/** @type {boolean} */ ok, /** @type {string} */ reason) => {
      if (quiet && !ok) process.stdout.write(output);
      resolve({ ok, output, reason });
    };
    child.on("error", (error) => end(false, error.message));
    child.on("close", (code, signal) => {
      if (signal !== null) end(false, `ended by ${signal}, after at most ${minutes} minutes`);
      else end(code === 0, `exit status ${code}`);
    });
  });
}
