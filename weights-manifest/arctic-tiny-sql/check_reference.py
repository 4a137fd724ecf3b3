#!/usr/bin/env python3
"""Compares the PyTorch model with the independent float64 reference on an exported checkpoint.

    check_reference.py REFERENCE_FOLDER WORK EXPORTED

REFERENCE_FOLDER holds ref.py. Rows are read as training reads them, several questions behind one
schema; the reference reads each conversation alone, as it will be asked. Fails above 1e-3.
"""
import json
import os
import sys

import numpy as np
import torch

import data
import export
from model import Arctic, Config


def rounded(exported):
    """The exported, bf16-rounded weights back in the PyTorch model."""
    with open(os.path.join(exported, "config.json")) as f:
        config = json.load(f)
    model = Arctic(Config(**{k: v for k, v in config.items() if hasattr(Config, k)}))
    with open(os.path.join(exported, "model.safetensors"), "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        blob = f.read()
    for name, target in export.tensors(model).items():
        a, b = header[name]["data_offsets"]
        bits = np.frombuffer(blob[a:b], np.uint16).astype(np.uint32) << 16
        target.data.copy_(torch.from_numpy(bits.view(np.float32).reshape(header[name]["shape"])))
    return model


@torch.no_grad()
def main(reference, work, exported):
    sys.path.insert(0, reference)
    import ref
    tokenizer = data.Tokenizer(exported)
    model, oracle = rounded(exported), ref.Model(exported)
    with open(os.path.join(work, "evaluation-unseen.jsonl")) as f:
        cases = [json.loads(line) for line, _ in zip(f, range(6))]
    # Three questions a schema, so that the packing is checked as well.
    lines = [json.dumps({"system": case["system"], "turns": [c["turns"][0][:2] for c in cases[i:i + 3]]}) for i, case in enumerate(cases[:3])]
    rows = [data.encode(tokenizer, line) for line in lines]
    batch = data.collate(rows, torch.float32)
    logits = model.head(model(batch)).numpy()
    worst, spread, start, compared = 0.0, 0.0, 0, 0
    for tokens, _, segments, *_ in rows:
        segments = np.array(segments)
        for turn in range(1, segments.max() + 1):
            chosen = np.flatnonzero((segments == 0) | (segments == turn))
            expected = oracle.forward([tokens[i] for i in chosen])
            worst = max(worst, np.abs(logits[start + chosen] - expected).max())
            spread = max(spread, np.abs(expected).max())
            compared += len(chosen)
        start += len(tokens)
    print(f"{compared} positions, largest difference of a logit {worst:.2e} (largest logit {spread:.1f})")
    return worst < 1e-3


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
