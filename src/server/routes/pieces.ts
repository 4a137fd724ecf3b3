/** Tokens with the text of each, as llama-server tells them. */

import { Buffer, isUtf8 } from "node:buffer";
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { badRequest } from "../errors.ts";
import type { TextService } from "../services.ts";

export const pieceSchema = z.object({
  id: z.int(),
  piece: z.union([z.string(), z.array(z.int())])
    .describe("Its bytes where they are no text by themselves"),
});

type Piece = z.infer<typeof pieceSchema>;

/** @throws ApiError 400 for more tokens than are told one by one */
export function piecesOf(
  tokens: readonly number[],
  { tokenBytes, specialText }: TextService,
): Piece[] {
  if (tokens.length > limits.tokenPieces) {
    throw badRequest(
      `The text has ${tokens.length} tokens, and at most ${limits.tokenPieces} are told with their ` +
        "pieces. Leave with_pieces out, or send less text.",
      "with_pieces",
      "invalid_value",
    );
  }
  return tokens.map((id) => ({ id, piece: specialText(id) || pieceOf(tokenBytes(id)) }));
}

/** A token may hold a part of a character only. */
function pieceOf(bytes: Uint8Array): Piece["piece"] {
  return isUtf8(bytes) ? Buffer.from(bytes).toString() : [...bytes];
}
