/** What the generation routes are given. */

import type { Context } from "hono";
import { errorCode } from "../../errors.ts";
import type { Admission } from "../admission.ts";
import type { Env } from "../env.ts";
import { ApiError, badRequest } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { Services } from "../services.ts";
import type { ServerSettings } from "../settings.ts";
import type { StreamTiming } from "./byte-stream.ts";
import type { AnswerHead } from "./chat-format.ts";
import type { DurableStreams } from "./durable-streams.ts";
import type { GrammarDemand } from "./output-grammar.ts";
import { type NothingRequest, Run } from "./run.ts";
import type { EngineRequest } from "../../engine/request.ts";

export interface Shared {
  readonly admission: Admission;
  readonly metrics: Metrics;
  readonly settings: ServerSettings;
}

export interface Routes extends Shared {
  readonly services: Services;
  readonly timing: StreamTiming;
  readonly streams: DurableStreams;
}

/** Things to release once, in whatever order. */
export class Holdings {
  readonly #releases: (() => void)[] = [];

  add(release: () => void): void {
    this.#releases.push(release);
  }

  release(): void {
    for (const release of this.#releases.splice(0)) release();
  }
}

/**
 * Takes a place for `choices` choices, prepares their requests and begins them.
 * @throws ApiError where there is no place, or what `prepare` throws; then nothing is held
 */
export async function beginRun(
  c: Context<Env>,
  { admission, services, metrics }: Routes,
  choices: number,
  prepare: (holdings: Holdings) => Promise<readonly (EngineRequest | NothingRequest)[]>,
): Promise<Run> {
  const holdings = new Holdings();
  const ticket = admission.admit(c.var.keyIdentity, choices);
  holdings.add(() => ticket.release());
  try {
    // The connection may be silent for long: the queue, the prompt.
    c.env?.holdOpen?.();
    const requests = await prepare(holdings);
    const release = () => holdings.release();
    const run = new Run({ services, metrics, access: c.var.access, requests, release });
    const stop = () => run.stop();
    if (admission.stopped.aborted) stop();
    admission.stopped.addEventListener("abort", stop);
    run.whenOver(() => admission.stopped.removeEventListener("abort", stop));
    return run;
  } catch (error) {
    holdings.release();
    throw error;
  }
}

/** @throws ApiError 400 for a bad grammar, or a server that knows none */
export async function leaseGrammar(
  demand: GrammarDemand | undefined,
  { grammars }: Services,
  holdings: Holdings,
): Promise<number | undefined> {
  if (!demand) return undefined;
  const { spec, param } = demand;
  if (!grammars) {
    throw badRequest("This server has no grammars to hold an output to.", param, "unsupported");
  }
  const lease = await grammars.compile(spec).catch((error: unknown) => {
    if (errorCode(error) !== "request_bad_grammar") throw error;
    throw badRequest((error as Error).message, param, "invalid_value");
  });
  holdings.add(() => lease.release());
  return lease.id;
}

export function answerHead(prefix: string, { randomId, now, model }: Services): AnswerHead {
  return {
    id: `${prefix}-${randomId()}`,
    created: Math.floor(now() / 1_000),
    model: model.id,
    system_fingerprint: model.fingerprint,
  };
}

/** Prefixes are shared within one key and one salt. */
export function saltFor(c: Context<Env>, salt: string | null | undefined): string {
  return salt ? `${c.var.cacheSalt}:${salt}` : c.var.cacheSalt;
}

export function noText(param: string): ApiError {
  return badRequest("The model has no tokenizer: it takes and gives token ids alone.", param);
}
