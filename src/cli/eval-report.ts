/** An evaluation as people read it. */

import type { Evaluation, Outcome } from "../sql/evaluate.ts";
import type { LayerHistogram } from "./expert-histogram.ts";
import { perSecond } from "./units.ts";

export interface EvaluationDocument extends Omit<Evaluation, "failures"> {
  readonly backend: string;
  readonly adapter: string;
  /** Generated tokens over all the time that the model took, reading included. */
  readonly tokens_per_second: number;
  readonly expert_histogram: readonly LayerHistogram[];
}

export function evaluationText(document: EvaluationDocument): string {
  const { n, seed, split, by_kind: byKind } = document;
  const kinds = Object.entries(byKind).map(([kind, score]) =>
    tableRow(kind, score.n, score.correct, score.valid)
  );
  const lines = [
    `${n} questions, names ${split}, seed ${seed}, on ${document.adapter} (${document.backend})`,
    "",
    `${"kind".padEnd(16)}${"asked".padStart(7)}${"correct".padStart(16)}${"valid".padStart(16)}`,
    ...kinds,
    tableRow("all", n, n * document.execution_accuracy, n * document.valid_sql),
    "",
    `letter for letter: ${percent(document.exact_match)}`,
    `generated: ${perSecond(document.tokens_per_second)}, reading the prompts included`,
    ...document.expert_histogram.map(routing),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function tableRow(kind: string, n: number, correct: number, valid: number): string {
  const share = (part: number) => `${Math.round(part)}  ${percent(part / n)}`.padStart(16);
  return kind.padEnd(16) + String(n).padStart(7) + share(correct) + share(valid);
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`.padStart(7);
}

function routing({ layer, counts, fractions }: LayerHistogram): string {
  const used = counts.filter((count) => count > 0).length;
  const busiest = Math.max(...fractions);
  return `layer ${layer}: ${used} of ${counts.length} experts used, ` +
    `the busiest by ${(100 * busiest).toFixed(1)} % of its tokens`;
}

/** Questions that were answered wrongly: what was asked, expected and given. */
export function failureLines(failures: readonly Outcome[]): string {
  return failures.map(({ kind, messages, reference, generated, reason }) => {
    const [schema = "", question = ""] = messages.map(({ content }) => content);
    return `\n${kind}: ${question}\n${schema}\nexpected:  ${reference}\n` +
      `generated: ${generated}\n${reason ?? ""}\n`;
  }).join("");
}
