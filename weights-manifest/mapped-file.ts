/**
 * Ranges of a file that never changes: as mappings (libc's mmap, so that files may be of any size) or
 * by reads. A mapping of a file that shrinks kills the process with SIGBUS, so the size is checked
 * before every access and "pread" is there for disks that are not to be trusted.
 */

import { dlopen, type Pointer, toArrayBuffer } from "bun:ffi";
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import process from "node:process";
import { assert } from "../src/assert.ts";
import { ArcticError } from "../src/errors.ts";
import { fileError, readFully } from "./files.ts";

export type Io = "mmap" | "pread";

const PROT_READ = 1;
const MAP_SHARED = 1;
/** Linux: all pages are entered at once, several times quicker than by a fault for every few. */
const MAP_POPULATE = process.platform === "linux" ? 0x8000 : 0;
/** A multiple of the page size of every supported system (16 KiB on Apple silicon). */
const MAP_ALIGN = 65_536;

function loadLibc() {
  const names = process.platform === "darwin"
    ? ["libSystem.B.dylib"]
    : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];
  const symbols = {
    mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: "ptr" },
    munmap: { args: ["ptr", "u64"], returns: "i32" },
    flock: { args: ["i32", "i32"], returns: "i32" },
  } as const;
  let problem: unknown;
  for (const name of names) {
    try {
      return dlopen(name, symbols).symbols;
    } catch (cause) {
      problem = cause;
    }
  }
  throw new ArcticError(
    "weights_no_mmap",
    `The system's C library (${names.join(" or ")}) cannot be loaded. Use \`--io pread\`.`,
    { cause: problem },
  );
}

let loaded: ReturnType<typeof loadLibc> | undefined;

/** The C library; a handle to it is the process's, not ours, so it is kept. */
function libc(): ReturnType<typeof loadLibc> {
  return loaded ??= loadLibc();
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes the lock of an open file or folder until it is closed; false where another process has it. */
export function tryLock(fd: number): boolean {
  return process.platform === "win32" || libc().flock(fd, LOCK_EX | LOCK_NB) === 0;
}

/** A mapping and the view that was asked for. */
interface Mapping {
  readonly address: Pointer;
  readonly length: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export class MappedFile {
  private readonly fd: number;
  private readonly kept: Mapping[] = [];
  private readonly spare: ArrayBuffer[] = [];
  private closed = false;

  /**
   * @param size what the manifest promises
   * @throws ArcticError `weights_unreadable`, `weights_truncated`, `weights_size_mismatch`
   */
  constructor(readonly path: string, readonly size: number, readonly io: Io) {
    try {
      this.fd = openSync(path, "r");
    } catch (cause) {
      throw fileError("weights_unreadable", path, "opened", cause);
    }
    try {
      this.checkSize();
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  /** `use` sees the bytes until it returns; a view that it lets escape is empty afterwards. */
  withBytes<T>(offset: number, bytes: number, use: (bytes: Uint8Array) => T): T {
    this.check(offset, bytes);
    if (bytes === 0) return use(new Uint8Array(0));
    if (this.io === "pread") {
      const buffer = this.takeSpare(bytes);
      try {
        return use(this.read(new Uint8Array(buffer, 0, bytes), offset));
      } finally {
        this.spare.push(buffer);
      }
    }
    const mapping = this.map(offset, bytes, MAP_POPULATE);
    try {
      return use(mapping.bytes);
    } finally {
      this.unmap(mapping);
    }
  }

  /** The bytes until close. */
  mapped(offset: number, bytes: number): Uint8Array<ArrayBuffer> {
    this.check(offset, bytes);
    if (bytes === 0) return new Uint8Array(0);
    if (this.io === "pread") return this.read(new Uint8Array(bytes), offset);
    const mapping = this.map(offset, bytes, 0);
    this.kept.push(mapping);
    return mapping.bytes;
  }

  /** True when another file has taken the name since: the old one stays readable. */
  replaced(): boolean {
    const now = statSync(this.path, { throwIfNoEntry: false });
    return now === undefined || now.ino !== fstatSync(this.fd).ino;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const mapping of this.kept) this.unmap(mapping);
    this.kept.length = 0;
    this.spare.length = 0;
    closeSync(this.fd);
  }

  private check(offset: number, bytes: number): void {
    assert(!this.closed, `${this.path} is read after it was closed`);
    assert(offset >= 0 && bytes >= 0 && offset + bytes <= this.size, "a range outside its shard");
    this.checkSize();
  }

  private checkSize(): void {
    const size = fstatSync(this.fd).size;
    if (size === this.size) return;
    throw new ArcticError(
      size < this.size ? "weights_truncated" : "weights_size_mismatch",
      `${this.path} has ${size} bytes, but the manifest promises ${this.size}. It was cut off or ` +
        "changed; copy or convert the model again.",
    );
  }

  private takeSpare(bytes: number): ArrayBuffer {
    const fit = this.spare.findIndex((buffer) => buffer.byteLength >= bytes);
    if (fit >= 0) return this.spare.splice(fit, 1)[0] ?? new ArrayBuffer(bytes);
    this.spare.length = 0;
    return new ArrayBuffer(bytes);
  }

  private read(into: Uint8Array<ArrayBuffer>, offset: number): Uint8Array<ArrayBuffer> {
    let got: number;
    try {
      got = readFully(this.fd, into, offset);
    } catch (cause) {
      throw fileError("weights_unreadable", this.path, "read", cause);
    }
    if (got === into.length) return into;
    throw new ArcticError(
      "weights_truncated",
      `${this.path} ended at byte ${offset + got}; ${
        into.length - got
      } more were promised. It was ` +
        "cut off; copy or convert the model again.",
    );
  }

  private map(offset: number, bytes: number, flags: number): Mapping {
    const start = Math.floor(offset / MAP_ALIGN) * MAP_ALIGN;
    const length = offset + bytes - start;
    const address = libc().mmap(null, length, PROT_READ, MAP_SHARED | flags, this.fd, start);
    // MAP_FAILED is -1, which arrives as the bigint 2^64 - 1; user addresses are numbers.
    if (typeof address !== "number") {
      throw new ArcticError(
        "weights_map_failed",
        `${length} bytes of ${this.path} cannot be mapped; the address space or the number of ` +
          "mappings is exhausted. Use `--io pread`.",
      );
    }
    const whole = toArrayBuffer(address, 0, length);
    return { address, length, bytes: new Uint8Array(whole, offset - start, bytes) };
  }

  /** Detaches the buffer first: a stale view then reads as empty instead of killing the process. */
  private unmap({ address, length, bytes }: Mapping): void {
    bytes.buffer.transfer(0);
    assert(libc().munmap(address, length) === 0, "munmap failed");
  }
}
