#!/usr/bin/env python3
"""Share of exact answers of a checkpoint, as trained, rounded to bf16, or to FP8 as `convert` does.

    evaluate.py WORK [--name main] [--cases 500] [--weights f32|bf16|fp8] [--dump QUESTIONS.jsonl]

An answer is exact when each of its tokens is the likeliest, which is when greedy decoding gives it.
--dump writes each question as token ids with the verdict, for test/load/exact-answers.ts.
"""
import argparse
import json
import os

import torch

import data
import export
import train


def fp8(w):
    """E4M3FN with the smallest power of two a row that brings it within 448."""
    scale = torch.exp2(torch.ceil(torch.log2(w.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 448)))
    return (w / scale).to(torch.float8_e4m3fn).float() * scale


@torch.no_grad()
def rounded(model, weights):
    for name, p in model.named_parameters():
        if weights != "f32":
            p.copy_(p.bfloat16().float())
        if weights == "fp8" and p.dim() > 1 and not any(part in name for part in ("embed", "gate")):
            p.copy_(fp8(p))
    return model


@torch.no_grad()
def verdicts(model, words, path, split, cases):
    """One question at a time, so that the verdict is about it alone."""
    with open(path) as f:
        for line, _ in zip(f, range(cases)):
            row = data.encode(words, line)
            batch = data.collate([row])
            _, logits = train.loss_of(model, batch)
            exact = bool((logits.argmax(-1) == batch.targets)[:sum(t >= 0 for t in row[3])].all())
            yield {"split": split, "tokens": row[0], "targets": row[3], "exact": exact}


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--name", default="main")
    ap.add_argument("--cases", type=int, default=500)
    ap.add_argument("--weights", default="bf16", choices=["f32", "bf16", "fp8"])
    ap.add_argument("--dump")
    args = ap.parse_args()
    trained, step = export.load(args.work, args.name)
    words = data.Tokenizer(os.path.join(args.work, "tokenizer"))
    for split in ("seen", "unseen"):
        report = train.accuracy(rounded(trained, args.weights), words, os.path.join(args.work, f"evaluation-{split}.jsonl"), "cpu", args.cases)
        print(f"step {step}, {args.weights}, {split}: exact {report['exact']:.3f}, experts unused {report['unused']:.3f}, "
              f"busiest {report['busiest']:.3f}")
        print("   " + ", ".join(f"{k} {r}/{n}" for k, (r, n) in report["kinds"].items()))
        if args.dump:
            with open(args.dump, "a") as out:
                for verdict in verdicts(trained, words, os.path.join(args.work, f"evaluation-{split}.jsonl"), split, args.cases):
                    out.write(json.dumps(verdict) + "\n")
