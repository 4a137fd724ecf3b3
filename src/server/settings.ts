/** How a server is to behave: filled by `serve` from its flags, or by a test. */

import { limits } from "../limits.ts";

export interface TlsFiles {
  /** Contents in PEM. */
  readonly key: string;
  readonly cert: string;
}

export interface ServerSettings {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly version: string;
  /** SHA-256 of each API key (see hashKey); none: no key is asked for. */
  readonly keyHashes: readonly Uint8Array[];
  /** Names in a Host header that are let in besides loopback and `host`. Without a port. */
  readonly allowedHosts: readonly string[];
  /** Choices that may be running or waiting at once, of all keys and of one. */
  readonly maxChoices: number;
  readonly maxChoicesPerKey: number;
  readonly bodyBytes: number;
  /** Milliseconds in each of which a body has to have grown by limits.bodyPeriodBytes. */
  readonly bodyPeriodMs: number;
  readonly tls?: TlsFiles;
  /** What outputs without end attend to that name no window; absent: as much as fits the context. */
  readonly sinks?: number;
  readonly window?: number;
  /** For how long a stream whose client is gone can be taken up again; absent: not at all. */
  readonly resumeSeconds?: number;
}

/** The settings of a server that only this machine can reach, with `given` in place of defaults. */
export function serverSettings(
  given: Partial<ServerSettings> & { readonly version: string },
): ServerSettings {
  return {
    host: "127.0.0.1",
    port: 8080,
    keyHashes: [],
    allowedHosts: [],
    maxChoices: limits.serverChoices,
    maxChoicesPerKey: limits.serverChoices,
    bodyBytes: limits.bodyBytes,
    bodyPeriodMs: limits.bodyPeriodMs,
    ...given,
  };
}
