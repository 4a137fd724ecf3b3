#!/usr/bin/env python3
"""Asks a checkpoint of train.py, greedily, for a look while it trains.

    ask.py WORK SCHEMA.sql [--name main] < QUESTIONS
"""
import argparse
import sys

import torch

import data
import export


@torch.no_grad()
def answer(model, tokenizer, schema, question, limit=160):
    tokens = tokenizer.message("system", schema) + tokenizer.prompt(question)
    start = len(tokens)
    while len(tokens) - start < limit:
        n = len(tokens)
        batch = data.collate([(tokens, list(range(n)), [0] * n, [-1] * n)], torch.float32)
        best = model.head(model(batch)[n - 1]).argmax().item()
        if best == tokenizer.end:
            break
        tokens.append(best)
    return tokenizer.pieces.decode(tokens[start:])


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("schema")
    ap.add_argument("--name", default="main")
    args = ap.parse_args()
    trained, _ = export.load(args.work, args.name)
    with open(args.schema) as f:
        ddl = f.read().strip()
    words = data.Tokenizer(f"{args.work}/tokenizer")
    for line in sys.stdin:
        print(f"{line.strip()}\n    {answer(trained, words, ddl, line.strip())}", flush=True)
