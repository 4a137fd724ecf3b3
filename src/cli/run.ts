/** From argv to an exit code. Commands are loaded when they are called: help needs no GPU library. */

import process from "node:process";
import { ArcticError, Exit, type ExitCode } from "../errors.ts";
import { version } from "../../package.json" with { type: "json" };
import { wasOutputClosed } from "./closed-output.ts";
import type { Context } from "./context.ts";
import { errorText } from "./error-text.ts";
import { type AnyInvocation, parse } from "./flags.ts";
import { commandHelp, overallHelp } from "./help.ts";
import { Messages } from "./messages.ts";
import { Output, OutputClosed } from "./output.ts";
import { onInterrupt } from "./signals.ts";

/** Runs the command that argv names and resolves to the process's exit code; never rejects. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  const messages = new Messages(process.stderr, process.env);
  const interruption = onInterrupt(() => messages.status(""));
  const output = new Output(process.stdout, interruption.signal, wasOutputClosed());
  const context = { output, messages, signal: interruption.signal };
  try {
    const code = await perform(argv, context);
    // A server that a signal has ended has done what it was there for.
    const isCut = interruption.signal.aborted && argv[0] !== "serve";
    return isCut ? Exit.interrupted : code;
  } catch (error) {
    messages.status("");
    const code = error instanceof ArcticError ? error.exit : Exit.failed;
    if (interruption.signal.aborted) {
      // What the user asked for is no error, but a command may tell how to go on.
      if (code === Exit.interrupted) report(error, messages);
      return Exit.interrupted;
    }
    if (error instanceof OutputClosed) return Exit.done;
    report(error, messages);
    return code;
  } finally {
    messages.status("");
    await messages.flushed();
    interruption.dispose();
  }
}

async function perform(argv: readonly string[], context: Context): Promise<ExitCode> {
  const request = parse(argv, process.env);
  switch (request.kind) {
    case "version":
      await context.output.write(`arctic ${version}\n`);
      return Exit.done;
    case "help": {
      const { command } = request;
      await context.output.write(command === undefined ? overallHelp() : commandHelp(command));
      return Exit.done;
    }
    case "run":
      return await command(request.invocation, context);
  }
}

async function command(invocation: AnyInvocation, context: Context): Promise<ExitCode> {
  switch (invocation.command) {
    case "prompt":
      return (await import("./prompt.ts")).prompt(invocation, context);
    case "serve":
      return (await import("./serve.ts")).serve(invocation, context);
    case "score":
      return (await import("./score.ts")).score(invocation, context);
    case "convert":
      return (await import("./convert.ts")).convert(invocation, context);
    case "inspect":
      return (await import("./inspect.ts")).inspect(invocation, context);
    case "verify":
      return (await import("./verify.ts")).verify(invocation, context);
    case "synth":
      return (await import("./synth.ts")).synth(invocation, context);
    case "bench":
      return (await import("./bench.ts")).bench(invocation, context);
    case "eval":
      return (await import("./eval.ts")).evaluate(invocation, context);
    case "doctor":
      return (await import("./doctor.ts")).doctor(invocation, context);
  }
}

/** One line; ARCTIC_DEBUG adds where in the program the error came from. */
function report(error: unknown, messages: Messages): void {
  messages.error(errorText(error));
  if (process.env["ARCTIC_DEBUG"] !== "1" || !(error instanceof Error)) return;
  for (const line of (error.stack ?? "").split("\n")) messages.line(line);
}
