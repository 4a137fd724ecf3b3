/**
 * Names of tables and columns, and words for values. Every word belongs to one split by its hash, so
 * a held-out word never occurs in training, neither alone nor inside a compound.
 */

import { nouns } from "./nouns.ts";
import { fnv1a, type Random } from "./random.ts";

export type Split = "seen" | "unseen";

/** One word in ten is held out. */
const HELD_OUT_IN = 10;

const onsets =
  "b br c ch cl cr d dr f fl g gl gr h j k kl kr l m n p pl pr qu r s sh sk sl st t th tr v vr w z"
    .split(" ");
const vowels = "a e i o u a e i o u ai ea ee ia io oa oo ou".split(" ");
const codas = [
  "",
  "",
  "",
  "",
  "b",
  "ck",
  "d",
  "g",
  "l",
  "ld",
  "lt",
  "m",
  "n",
  "nd",
  "nt",
  "p",
  "r",
  "rk",
  "rn",
  "t",
  "x",
];

/** Words the questions and SQL are made of: an invented word must not look like one of these. */
const reserved = new Set(
  ("add all and any are as asc at be between by case cast check count date desc do drop each else end " +
    "every few find for from get give had has have how if in into is it join key last least less like " +
    "limit list max me min more most no not null of on one or order out over per row same set show " +
    "some sum table than that the their them then to top total under up use value was what when where " +
    "which who whose with without year month day group having select distinct id name").split(" "),
);

/** The split a word belongs to. */
export function splitOf(word: string): Split {
  return fnv1a(`split:${word}`) % HELD_OUT_IN === 0 ? "unseen" : "seen";
}

const nounsOf: Readonly<Record<Split, readonly string[]>> = {
  seen: nouns.filter((noun) => splitOf(noun) === "seen"),
  unseen: nouns.filter((noun) => splitOf(noun) === "unseen"),
};

/** An English noun of the split. */
export function noun(random: Random, split: Split): string {
  return random.pick(nounsOf[split]);
}

/** A made-up word of two or three syllables, of the split. */
export function inventedWord(random: Random, split: Split): string {
  for (;;) {
    const syllables = random.chance(0.7) ? 2 : 3;
    let word = "";
    for (let i = 0; i < syllables; i++) {
      word += (i === 0 && random.chance(0.12) ? "" : random.pick(onsets)) + random.pick(vowels);
      if (i === syllables - 1 || random.chance(0.35)) word += random.pick(codas);
    }
    if (word.length >= 4 && word.length <= 10 && !reserved.has(word) && splitOf(word) === split) {
      return word;
    }
  }
}

/** A noun or, about as often, an invented word. */
export function word(random: Random, split: Split): string {
  return random.chance(0.5) ? noun(random, split) : inventedWord(random, split);
}

/** A singular identifier: one word, or two joined by an underscore. */
export function identifier(random: Random, split: Split, compound = 0.25): string {
  const first = word(random, split);
  if (!random.chance(compound)) return first;
  const second = word(random, split);
  return second === first ? first : `${first}_${second}`;
}

/** The English plural of a singular identifier's last word. */
export function plural(singular: string): string {
  if (/[^aeiou]y$/.test(singular)) return singular.slice(0, -1) + "ies";
  if (/(s|x|z|ch|sh)$/.test(singular)) return singular + "es";
  return singular + "s";
}

/** An identifier as it is said: underscores become spaces. */
export function spoken(name: string): string {
  return name.replaceAll("_", " ");
}

export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
