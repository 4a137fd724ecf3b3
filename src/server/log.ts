/**
 * The server's log: one JSON object a line on stderr. JSON escapes whatever a client put into a value,
 * so a line is always one line. Prompts, answers, keys and query strings are never given to it.
 */

import { type DestinationStream, type Logger, pino } from "pino";

export type Log = Logger;

const STDERR = 2;

/** @param destination where lines go; stderr by default, written at once so that none is lost */
export function createLog(
  destination: DestinationStream = pino.destination({ fd: STDERR, sync: true }),
): Log {
  return pino(
    {
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}
