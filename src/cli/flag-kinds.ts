/** How the values of flags are read: kinds of value, and what makes a flag of one. */

import { ArcticError } from "../errors.ts";
import { limits } from "../limits.ts";
import { parseTokenIds } from "./token-ids.ts";

/** How the text of one value is read. `read` throws the reason as an ArcticError naming `origin`. */
export interface Kind<T> {
  readonly placeholder: string;
  read(raw: string, origin: string): T;
}

export interface Flag<V> {
  readonly help: string;
  /** What stands for the value in help texts; null for a switch. */
  readonly placeholder: string | null;
  readonly repeatable: boolean;
  readonly fallback: V;
  /** The value of one or more raw texts; `origin` is the flag or the environment variable. */
  read(raws: readonly string[], origin: string): V;
}

function refuse(origin: string, expected: string, raw: string): never {
  throw new ArcticError("usage_bad_value", `${origin} must be ${expected}, but it is \`${raw}\`.`);
}

export function integer(min: number, max: number, placeholder = "N"): Kind<number> {
  return {
    placeholder,
    read(raw, origin) {
      const value = /^[+-]?\d+$/.test(raw) ? Number(raw) : NaN;
      if (!(value >= min && value <= max)) {
        refuse(origin, `a whole number from ${min} to ${max}`, raw);
      }
      return value;
    },
  };
}

/** @param least whether `min` itself is allowed */
export function decimal(min: number, max: number, placeholder: string, least = true): Kind<number> {
  const range = least ? `from ${min} to ${max}` : `above ${min}, up to ${max}`;
  return {
    placeholder,
    read(raw, origin) {
      const value = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(raw) ? Number(raw) : NaN;
      const inside = value <= max && (least ? value >= min : value > min);
      if (!inside) refuse(origin, `a number ${range}`, raw);
      return value;
    },
  };
}

export function choice<const T extends string>(...values: readonly T[]): Kind<T> {
  return {
    placeholder: values.join("|"),
    read(raw, origin) {
      return values.find((value) => value === raw) ??
        refuse(origin, `one of ${values.join(", ")}`, raw);
    },
  };
}

export function path(placeholder: string): Kind<string> {
  return {
    placeholder,
    read(raw, origin) {
      if (raw === "" || raw.includes("\0")) refuse(origin, "a path", raw);
      return raw;
    },
  };
}

export const stopString: Kind<string> = {
  placeholder: "STR",
  read(raw, origin) {
    const bytes = Buffer.byteLength(raw);
    if (bytes < 1 || bytes > limits.stopStringBytes) {
      refuse(origin, `a text of 1 to ${limits.stopStringBytes} bytes`, raw.slice(0, 40));
    }
    return raw;
  },
};

export const tokenIds: Kind<readonly number[]> = {
  placeholder: "1,2,3",
  read: (raw, origin) => parseTokenIds(raw, origin, "usage_bad_value"),
};

/** What a client sends after `Bearer `. It is never shown, not even where it is refused. */
export const secret: Kind<string> = {
  placeholder: "KEY",
  read(raw, origin) {
    if (isApiKey(raw)) return raw;
    throw new ArcticError(
      "usage_bad_value",
      `${origin} must be 1 to ${limits.apiKeyCharacters} letters, digits and signs, without spaces ` +
        "and commas.",
    );
  },
};

/** Whether a bearer token can carry it. */
export function isApiKey(text: string): boolean {
  return text.length <= limits.apiKeyCharacters && /^[!-+\--~]+$/.test(text);
}

/** A host's name or address, as in a Host header but without the port. */
export const hostName: Kind<string> = {
  placeholder: "HOST",
  read(raw, origin) {
    if (!/^[a-z0-9._:-]+$/i.test(raw)) refuse(origin, "a host name or an address", raw);
    return raw;
  },
};

export const modelName: Kind<string> = {
  placeholder: "NAME",
  read(raw, origin) {
    if (!/^[\w./:@+-]+$/.test(raw)) {
      refuse(origin, "a name of letters, digits and ._/:@+-", raw.slice(0, 40));
    }
    return raw;
  },
};

/** -1 is Infinity: no bound. */
export const maxTokens: Kind<number> = {
  placeholder: "N",
  read(raw, origin) {
    return raw === "-1" ? Infinity : integer(1, limits.maxTokens).read(raw, origin);
  },
};

export const topCount: Kind<number | "all"> = {
  placeholder: "K|all",
  read: (raw, origin) => raw === "all" ? raw : integer(0, limits.topLogprobs).read(raw, origin),
};

function last<T>(kind: Kind<T>, raws: readonly string[], origin: string): T {
  return kind.read(raws.at(-1) ?? "", origin);
}

export function optional<T>(kind: Kind<T>, help: string): Flag<T | undefined> {
  const read = (raws: readonly string[], origin: string) => last(kind, raws, origin);
  return { help, placeholder: kind.placeholder, repeatable: false, fallback: undefined, read };
}

export function withDefault<T>(kind: Kind<T>, fallback: T, help: string): Flag<T> {
  const read = (raws: readonly string[], origin: string) => last(kind, raws, origin);
  return {
    help: `${help} (default ${fallback})`,
    placeholder: kind.placeholder,
    repeatable: false,
    fallback,
    read,
  };
}

export function list<T>(kind: Kind<T>, max: number, help: string): Flag<readonly T[]> {
  const read = (raws: readonly string[], origin: string) => {
    if (raws.length > max) refuse(origin, `given at most ${max} times`, `${raws.length} times`);
    return raws.map((raw) => kind.read(raw, origin));
  };
  return { help, placeholder: kind.placeholder, repeatable: true, fallback: [], read };
}

const yes = ["1", "true", "yes", "on"];
const no = ["0", "false", "no", "off"];

export function toggle(help: string): Flag<boolean> {
  const read = (raws: readonly string[], origin: string) => {
    const raw = raws.at(-1) ?? "";
    if (!yes.includes(raw) && !no.includes(raw)) refuse(origin, "true or false", raw);
    return yes.includes(raw);
  };
  return { help, placeholder: null, repeatable: false, fallback: false, read };
}

export const anyText: Kind<string> = { placeholder: "TEXT", read: (raw) => raw };
