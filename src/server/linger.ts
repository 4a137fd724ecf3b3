/** What to do with the rest of a body that is refused while it is still being sent. */

import { limits } from "../limits.ts";
import { nextTurn } from "./next-turn.ts";

type Reader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read">;

/**
 * Reads on and forgets, until the body ends, pauses or has had its time, so that the refusal can be
 * read: a connection that is closed over unread bytes is reset, and the reset can overtake the
 * answer (RFC 9112, section 9.6). Whoever sends more than that, or longer, may find it reset.
 */
export async function linger(reader: Reader): Promise<void> {
  const end = performance.now() + limits.lingerMilliseconds;
  let bytes = 0;
  for (let parts = 1; bytes < limits.lingerBytes && performance.now() < end; parts++) {
    if (parts % limits.bodyPartsATurn === 0) await nextTurn();
    const part = await readUnlessQuiet(reader);
    if (part === undefined) return;
    bytes += part.length;
  }
}

/** @returns undefined at the end, and where nothing more comes for now */
async function readUnlessQuiet(
  reader: Reader,
): Promise<Uint8Array | undefined> {
  const quiet = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => quiet.resolve(undefined), limits.lingerQuietMilliseconds);
  const part = reader.read().then(({ value }) => value, () => undefined); // the client has gone
  try {
    return await Promise.race([part, quiet.promise]);
  } finally {
    clearTimeout(timer);
  }
}
