/**
 * What the engine's thread and the server's say to each other. Everything survives a structured
 * clone; a request's tokens go over as numbers of 64 bits, so that the engine sees what was asked.
 */

import { assert } from "../assert.ts";
import { ArcticError, type ErrorCode, type ExitCode } from "../errors.ts";
import type { EngineStats } from "./door.ts";
import type { EngineEvent } from "./events.ts";
import type { EngineRequest, GenerateRequest, ScoreRequest } from "./request.ts";

/** What a message can hand over instead of copying it. */
export type Transfer = (ArrayBuffer | MessagePort)[];

/** One end of a channel between threads: a worker, its own scope, or a message port. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: Transfer): void;
}

type Wired<R extends EngineRequest> = Omit<R, "tokens" | "constraint"> & {
  readonly tokens: Float64Array<ArrayBuffer>;
};
export type WireRequest = Wired<GenerateRequest> | Wired<ScoreRequest>;

/** An error on its way; a class does not survive the journey. */
export type WireError =
  | {
    readonly kind: "arctic";
    readonly code: ErrorCode;
    readonly message: string;
    readonly exit: ExitCode;
  }
  | {
    readonly kind: "other";
    readonly name: string;
    readonly message: string;
    readonly stack: string | undefined;
  };

/** To the engine's thread. Requests are known by numbers that its user gives. */
export type ToHost =
  | {
    readonly type: "submit";
    readonly id: number;
    readonly request: WireRequest;
    /** Events that may be sent before the reader has taken any. */
    readonly credit: number;
    /** It was cancelled before it was sent. */
    readonly isCancelled: boolean;
  }
  /** The reader has taken this many events more. */
  | { readonly type: "credit"; readonly id: number; readonly events: number }
  /** The request is to end; its reader still reads. */
  | { readonly type: "cancel"; readonly id: number }
  /** Nobody reads any more. */
  | { readonly type: "leave"; readonly id: number };

/** What happened to a request, in order. */
export type Happening =
  | { readonly id: number; readonly event: EngineEvent }
  | { readonly id: number; readonly ended: true }
  | { readonly id: number; readonly error: WireError };

export interface Opened {
  readonly contextTokens: number;
  readonly vocabulary: number;
  readonly device: string;
}

/**
 * From the engine's thread: notes while it opens, then `opened`, then news and signs of life; or
 * `failed` and no more.
 */
export type FromHost =
  | { readonly type: "note"; readonly note: unknown }
  | { readonly type: "failed"; readonly error: WireError }
  | { readonly type: "opened"; readonly opened: Opened; readonly stats: EngineStats }
  /** A step is under way, and gets on. */
  | { readonly type: "alive" }
  | {
    readonly type: "news";
    readonly happenings: readonly Happening[];
    readonly stats: EngineStats;
    /** Why the engine can run nothing any more. */
    readonly broken: WireError | undefined;
  };

/** The request as it is sent, and what is handed over with it. */
export function toWire(request: EngineRequest): [WireRequest, Transfer] {
  const tokens = Float64Array.from(request.tokens);
  if (request.kind === "score") return [{ ...request, tokens }, [tokens.buffer]];
  const { constraint, ...rest } = request;
  assert(constraint === undefined, "a constraint cannot go to the engine's thread");
  return [{ ...rest, tokens }, [tokens.buffer]];
}

export function fromWire(request: WireRequest): EngineRequest {
  return { ...request, tokens: Array.from(request.tokens) };
}

export function errorToWire(error: unknown): WireError {
  if (error instanceof ArcticError) {
    return { kind: "arctic", code: error.code, message: error.message, exit: error.exit };
  }
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { kind: "other", name, message, stack };
}

/** The error as it was thrown, but for the class of one that is not an ArcticError. */
export function errorFromWire(wire: WireError): Error {
  if (wire.kind === "arctic") {
    return new ArcticError(wire.code, wire.message, { exit: wire.exit });
  }
  const error = new Error(wire.message);
  error.name = wire.name;
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}
