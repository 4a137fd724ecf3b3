/**
 * What an unfinished conversion has done. The state names the source it belongs to and, for every
 * finished shard, the checksums of its tensors; it is written before the shard gets its name, so a
 * shard under its own name is always whole and known.
 */

import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Packr } from "msgpackr/pack";
import { ArcticError } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import { keptFiles } from "./checkpoint.ts";
import { exists, fileError, readSmall } from "./files.ts";
import { guardMsgpack } from "./msgpack-guard.ts";
import { MANIFEST_FILE, type Shard } from "./schema.ts";
import { quote } from "./strict-json.ts";
import { PARTIAL, syncFolder, writeWhole } from "./writer.ts";

const STATE_FILE = "convert-state.msgpack";
const STATE_VERSION = 1;
const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** Shard name to the checksums of its tensors, in their order. */
export type Finished = Map<string, readonly string[]>;

export class ConvertState {
  private constructor(
    private readonly folder: string,
    private readonly source: string,
    readonly finished: Finished,
  ) {}

  /**
   * The state of a folder for a given source: what was done for the same source, or nothing.
   * Shards of another source are removed.
   */
  static open(folder: string, source: string, shards: readonly Shard[]): ConvertState {
    const finished = readState(folder, source);
    if (finished === undefined) clearOutput(folder);
    const sizes = new Map(shards.map((shard) => [shard.name, shard.bytes]));
    for (const name of [...finished?.keys() ?? []]) {
      const path = join(folder, name);
      if (!exists(path) || statSync(path).size !== sizes.get(name)) finished?.delete(name);
    }
    const state = new ConvertState(folder, source, finished ?? new Map());
    if (finished === undefined) state.write();
    return state;
  }

  /** Records a shard whose bytes are on the disk; call before it gets its name. */
  finish(name: string, checksums: readonly string[]): void {
    this.finished.set(name, checksums);
    this.write();
  }

  private write(): void {
    const { source, finished } = this;
    const shards = Object.fromEntries(finished);
    writeWhole(this.folder, STATE_FILE, packr.pack({ version: STATE_VERSION, source, shards }));
  }
}

/** The conversion is complete. */
export function removeState(folder: string): void {
  rmSync(join(folder, STATE_FILE), { force: true });
  syncFolder(folder);
}

/** A state that cannot be read is no state: conversion starts over. */
function readState(folder: string, source: string): Finished | undefined {
  if (!exists(join(folder, STATE_FILE))) return undefined;
  const bytes = readSmall(folder, STATE_FILE, limits.manifestBytes);
  try {
    guardMsgpack(bytes, STATE_FILE);
    const state: unknown = packr.unpack(bytes);
    if (typeof state !== "object" || state === null) return undefined;
    const { version, source: made, shards } = state as Record<string, unknown>;
    if (version !== STATE_VERSION || made !== source) return undefined;
    if (typeof shards !== "object" || shards === null) return undefined;
    const entries = Object.entries(shards).filter((entry): entry is [string, string[]] =>
      Array.isArray(entry[1]) && entry[1].every((sum) => /^[0-9a-f]{64}$/.test(String(sum)))
    );
    return new Map(entries);
  } catch (error) {
    if (error instanceof ArcticError) return undefined;
    throw error;
  }
}

const OURS = /^(?:(?:dense|experts)-[0-9]{5,}\.bin|convert-state\.msgpack|manifest\.msgpack)$/;

function isOurs(name: string, withKept: boolean): boolean {
  const whole = name.endsWith(PARTIAL) ? name.slice(0, -PARTIAL.length) : name;
  return OURS.test(whole) || (withKept && Object.hasOwn(keptFiles, whole));
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw fileError("weights_output_unusable", folder, "listed", cause);
  }
}

/**
 * Decides whether a folder may be written to, and clears a complete model away under `force`.
 * True where a complete model, made from `source`, only needs its state removed.
 *
 * @throws ArcticError `weights_output_exists`, `weights_output_foreign`
 */
export function prepareOutput(
  folder: string,
  options: { force: boolean; source: string },
): boolean {
  const names = entries(folder);
  // Kept files have names that other programs use too: they are ours only beside our own.
  const started = names.includes(STATE_FILE) || names.includes(MANIFEST_FILE);
  const foreign = names.filter((name) => !isOurs(name, started));
  if (foreign.length > 0) {
    throw new ArcticError(
      "weights_output_foreign",
      `${folder} holds files that no conversion made, such as ${
        quote(foreign[0] ?? "")
      }. Give an ` +
        "empty folder or a new name.",
    );
  }
  if (!names.includes(MANIFEST_FILE)) return false;
  if (!options.force) {
    if (readState(folder, options.source) !== undefined) return true;
    throw new ArcticError(
      "weights_output_exists",
      `${folder} holds a complete model already. Use --force to replace it.`,
    );
  }
  // The manifest goes first: from here on the folder is no model.
  rmSync(join(folder, MANIFEST_FILE));
  syncFolder(folder);
  clearOutput(folder);
  return false;
}

/** Removes the temporary files of a step that failed. */
export function removePartials(folder: string): void {
  for (const name of entries(folder)) {
    if (name.endsWith(PARTIAL)) rmSync(join(folder, name), { force: true });
  }
}

/** Removes everything from a folder that prepareOutput has found to be ours. */
export function clearOutput(folder: string): void {
  for (const name of entries(folder)) rmSync(join(folder, name), { force: true });
}
