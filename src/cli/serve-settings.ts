/** From the flags of `serve` to the settings of its server. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { version } from "../../package.json" with { type: "json" };
import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { hashKey } from "../server/auth.ts";
import { type ServerSettings, serverSettings, type TlsFiles } from "../server/settings.ts";
import { isApiKey } from "./flag-kinds.ts";
import type { Options } from "./flags.ts";
import { readTextFile } from "./input.ts";

export type ServeOptions = Options<"serve">;

/**
 * Reads the files that the flags name. Of the keys only their hashes are kept.
 * @throws ArcticError `usage_…` where the flags do not go together, `disk_input` for a file that
 *   cannot be read
 */
export async function settingsFor(
  options: ServeOptions,
  signal: AbortSignal,
): Promise<ServerSettings> {
  const keyHashes = (await apiKeys(options, signal)).map(hashKey);
  const { host, insecure } = options;
  if (keyHashes.length === 0 && !insecure && !isLoopback(host)) {
    throw new ArcticError(
      "usage_open_server",
      `Whoever reaches ${host} could use the model without a key. Set ARCTIC_API_KEY or give ` +
        "--api-key-file, listen on 127.0.0.1, or give --insecure if that is meant.",
    );
  }
  const tls = await tlsFiles(options, signal);
  const { sinks, window } = options;
  return serverSettings({
    version,
    host,
    port: options.port,
    keyHashes,
    allowedHosts: options.allowedHost,
    maxChoices: limits.runningRequests + options.maxQueue,
    ...(options.maxConcurrent === undefined ? {} : { maxChoicesPerKey: options.maxConcurrent }),
    resumeSeconds: options.resumeSeconds,
    ...(sinks === undefined ? {} : { sinks }),
    ...(window === undefined ? {} : { window }),
    ...(tls ? { tls } : {}),
  });
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

async function apiKeys(
  { apiKey, apiKeyFile }: ServeOptions,
  signal: AbortSignal,
): Promise<string[]> {
  if (apiKeyFile === undefined) return [...apiKey];
  const lines = (await readTextFile(apiKeyFile, signal)).split("\n").map((line) => line.trim());
  const keys = lines.filter((line) => line !== "");
  const isSound = keys.length > 0 && keys.length <= limits.apiKeys && keys.every(isApiKey);
  if (isSound) return [...apiKey, ...keys];
  throw new ArcticError(
    "usage_bad_value",
    `${apiKeyFile} must hold 1 to ${limits.apiKeys} API keys, one in each line: letters, digits and ` +
      `signs, ${limits.apiKeyCharacters} at most, without spaces and commas.`,
  );
}

async function tlsFiles(
  { tlsCert, tlsKey }: ServeOptions,
  signal: AbortSignal,
): Promise<TlsFiles | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new ArcticError("usage_wrong", "Give both --tls-cert and --tls-key, or neither.");
  }
  const [cert, key] = await Promise.all([
    readTextFile(tlsCert, signal),
    readTextFile(tlsKey, signal),
  ]);
  if (isPair(cert, key)) return { cert, key };
  throw new ArcticError(
    "usage_tls",
    `${tlsCert} and ${tlsKey} must be a certificate and its private key, both in PEM.`,
  );
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}
