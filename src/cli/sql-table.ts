/** Rows as an aligned table, and as JSON. */

import { limits } from "../limits.ts";
import type { Cell } from "../sql/database.ts";
import { escapeControls } from "./escape.ts";

/**
 * Lines of a table: heading, rule, one a row. Numbers are right-aligned, long values cut, and
 * characters that could steer a terminal written out.
 */
export function tableLines(
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const heading = columns.map(shorten);
  const cells = rows.map((row) => row.map((cell) => shorten(cellText(cell))));
  const widths = heading.map((name, i) =>
    cells.reduce((most, row) => Math.max(most, width(row[i] ?? "")), width(name))
  );
  const isNumeric = columns.map((_, i) =>
    rows.some((row) => isNumber(row[i])) && rows.every((row) => isNumber(row[i] ?? 0))
  );
  const line = (texts: readonly string[]) =>
    texts.map((text, i) => {
      const space = " ".repeat((widths[i] ?? 0) - width(text));
      return isNumeric[i] ? space + text : text + space;
    }).join(" | ").trimEnd();
  return [line(heading), widths.map((each) => "-".repeat(each)).join("-+-"), ...cells.map(line)];
}

const isNumber = (cell: Cell | undefined): boolean =>
  typeof cell === "number" || typeof cell === "bigint";

const width = (text: string): number => Bun.stringWidth(text);

function cellText(cell: Cell): string {
  if (cell === null) return "NULL";
  return cell instanceof Uint8Array ? blobText(cell) : String(cell);
}

/** SQL's own notation. */
function blobText(blob: Uint8Array): string {
  return `x'${blob.toHex()}'`;
}

/** Cut by characters: what is wider than one column each stays within twice the limit. */
function shorten(text: string): string {
  const most = limits.sqlCellCharacters;
  const characters = [...text.slice(0, 2 * most + 2)];
  const cut = characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
  return escapeControls(cut);
}

/** A cell in a JSON document: whole numbers beyond 2^53 and blobs become text. */
export function jsonCell(cell: Cell): string | number | boolean | null {
  if (cell instanceof Uint8Array) return blobText(cell);
  if (typeof cell !== "bigint") return cell;
  const number = Number(cell);
  return Number.isSafeInteger(number) ? number : String(cell);
}
