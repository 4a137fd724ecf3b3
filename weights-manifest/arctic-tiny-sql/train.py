#!/usr/bin/env python3
"""Trains arctic-tiny-sql; stops and resumes at any time.

    train.py WORK [--name main] [--from NAME] [--decay-steps N] [--max-steps N] …

WORK holds tokenizer/, data/*.jsonl (read in order of name) and evaluation-{seen,unseen}.jsonl. Under
WORK/NAME/ go checkpoint.pt (replaced atomically), loss.csv and accuracy.csv. The learning rate warms
up and stays; a run with --decay-steps lets it fall to zero over that many steps and ends.
"""
import argparse
import copy
import csv
import glob
import json
import os
import signal
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F

import data
from model import Arctic, Config
from muon import Muon

EMA = 0.998


def optimizers(model, args):
    c = model.config
    head_dim = c.hidden_size // c.num_attention_heads
    groups, rest = [], []
    for name, p in model.named_parameters():
        if args.optimizer != "muon" or p.dim() < 2 or any(part in name for part in ("embed", "head", "gate")):
            rest.append(p)
            continue
        split = None
        if "qkv" in name:
            split = [c.hidden_size] + [c.num_key_value_heads * head_dim] * 2
        elif "w13" in name:
            split = [p.shape[-2] // 2] * 2
        groups.append(dict(params=[p], split=split))
    adam = torch.optim.AdamW(rest, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    found = [(adam, args.adam_lr)]
    if groups:
        found.append((Muon(groups, lr=args.lr, weight_decay=args.weight_decay), args.lr))
    return found


def rows_of(tokenizer, path, skip_batches, args):
    """Batches of one shard, in a fixed order; the first ones are skipped when resuming."""
    with open(path) as f:
        rows = [data.encode(tokenizer, line, args.conversations) for line in f]
    found = data.batches(rows, args.batch_tokens, os.path.basename(path))
    return found[skip_batches:]


def loss_of(model, batch):
    logits = model.head(model(batch).index_select(0, batch.learnt).to(batch.precision)).float()
    losses = F.cross_entropy(logits, batch.targets, ignore_index=-1, reduction="none")
    return (losses * batch.weights).sum() / batch.weights.sum(), logits


@torch.no_grad()
def accuracy(model, tokenizer, path, device, limit):
    """Share of answers whose every token is the likeliest: just those that greedy decoding gets exactly.
    Also by kind, and the share of tokens each expert of each layer takes."""
    with open(path) as f:
        lines = [line for line, _ in zip(f, range(limit))]
    right, total, used, seen = {}, {}, 0, 0
    order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
    for at in range(0, len(order), 32):
        chunk = [lines[i] for i in order[at:at + 32]]
        rows = [data.encode(tokenizer, line) for line in chunk]
        batch = data.collate(rows).to(device)
        _, logits = loss_of(model, batch)
        wrong = (logits.argmax(-1) != batch.targets)[:sum(t >= 0 for row in rows for t in row[3])]
        used = used + torch.stack([layer.moe.used for layer in model.layers]) * len(batch.tokens)
        seen += len(batch.tokens)
        for line, bad in zip(chunk, wrong.split([sum(t >= 0 for t in row[3]) for row in rows])):
            kind = json.loads(line)["turns"][0][2]
            total[kind] = total.get(kind, 0) + 1
            right[kind] = right.get(kind, 0) + (not bad.any().item())
    share = used / seen
    return {"exact": sum(right.values()) / sum(total.values()), "kinds": {k: [right[k], total[k]] for k in sorted(total)},
            "unused": (share == 0).float().mean(1).max().item(), "busiest": share.max().item()}


def append(path, row):
    new = not os.path.exists(path)
    with open(path, "a", newline="") as f:
        writer = csv.writer(f)
        if new:
            writer.writerow(row.keys())
        writer.writerow(row.values())


def save(path, state):
    torch.save(state, path + ".partial")
    os.replace(path + ".partial", path)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--name", default="main")
    ap.add_argument("--from", dest="source", help="start from this run's checkpoint")
    ap.add_argument("--decay-steps", type=int)
    ap.add_argument("--max-steps", type=int, default=10 ** 9)
    ap.add_argument("--conversations", type=float, default=0.0, help="share of the lines that are one conversation")
    ap.add_argument("--batch-tokens", type=int, default=4096)
    ap.add_argument("--optimizer", default="muon", choices=["muon", "adamw"])
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--adam-lr", type=float, default=3e-3)
    ap.add_argument("--weight-decay", type=float, default=0.05)
    ap.add_argument("--warmup", type=int, default=100)
    ap.add_argument("--balance", type=float, default=0.03)
    ap.add_argument("--seed", type=int, default=20)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--save-seconds", type=float, default=180)
    ap.add_argument("--eval-steps", type=int, default=300)
    ap.add_argument("--eval-cases", type=int, default=200)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    folder = os.path.join(args.work, args.name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(args.work, "pid"), "w") as f:
        f.write(f"{os.getpid()}\n")

    tokenizer = data.Tokenizer(os.path.join(args.work, "tokenizer"))
    model = Arctic(Config(vocab_size=tokenizer.size)).to(device)
    average = copy.deepcopy(model)
    found = optimizers(model, args)
    step, tokens, shard, batch, decay_from = 0, 0, 0, 0, None
    checkpoint = os.path.join(folder, "checkpoint.pt")
    start = checkpoint if os.path.exists(checkpoint) else os.path.join(args.work, args.source, "checkpoint.pt") if args.source else None
    if start:
        state = torch.load(start, map_location=device, weights_only=False)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for (optimizer, _), saved in zip(found, state["optimizers"]):
            optimizer.load_state_dict(saved)
        step, tokens, shard, batch, decay_from = (state[k] for k in ("step", "tokens", "shard", "batch", "decay_from"))
        print(f"resumed at step {step}, shard {shard}, batch {batch}", flush=True)
    if args.decay_steps and decay_from is None:
        decay_from = step
    if step >= args.max_steps or (decay_from is not None and step - decay_from >= args.decay_steps):
        print(f"step {step} is the last", flush=True)
        return

    def snapshot():
        save(checkpoint, {"model": model.state_dict(), "average": average.state_dict(), "optimizers": [o.state_dict() for o, _ in found],
                          "step": step, "tokens": tokens, "shard": shard, "batch": batch, "decay_from": decay_from,
                          "config": {k: v for k, v in vars(model.config).items()}, "args": vars(args)})

    def evaluate():
        row = {"step": step, "tokens": tokens}
        report = {}
        for split in ("seen", "unseen"):
            report[split] = accuracy(average, tokenizer, os.path.join(args.work, f"evaluation-{split}.jsonl"), device, args.eval_cases)
            row[split] = round(report[split]["exact"], 4)
        row["unused"], row["busiest"] = round(report["seen"]["unused"], 4), round(report["seen"]["busiest"], 4)
        append(os.path.join(folder, "accuracy.csv"), row)
        with open(os.path.join(folder, "accuracy.json"), "w") as f:
            json.dump({"step": step, **report}, f, indent=1)
        print(row, flush=True)

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))     # saves after the current step, then ends
    saved_at, mark, mark_tokens, sums, seen = time.time(), time.time(), 0, [0.0, 0.0, 0.0], 0
    while True:
        shards = sorted(glob.glob(os.path.join(args.work, "data", "*.jsonl")))
        if shard >= len(shards):
            print("no more data", flush=True)
            break
        for rows in rows_of(tokenizer, shards[shard], batch, args):
            scale = min(1.0, (step + 1) / args.warmup)
            if decay_from is not None:
                scale *= max(0.0, 1 - (step - decay_from) / args.decay_steps)
            for optimizer, lr in found:
                for group in optimizer.param_groups:
                    group["lr"] = lr * scale
            current = data.collate(rows).to(device)
            loss, logits = loss_of(model, current)
            balance = torch.stack([layer.moe.balance for layer in model.layers]).mean()
            (loss + args.balance * balance).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, _ in found:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                keep = min(EMA, (1 + step) / (10 + step))
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
            step, batch = step + 1, batch + 1
            n = sum(len(r[0]) for r in rows)
            tokens, mark_tokens = tokens + n, mark_tokens + n
            sums = [s + v for s, v in zip(sums, (loss.item(), balance.item(), ((logits.argmax(-1) == current.targets).sum() / (current.targets >= 0).sum()).item()))]
            seen += 1
            if seen == 20:
                now = time.time()
                row = {"time": int(now), "step": step, "tokens": tokens, "shard": shard, "lr": f"{scale * args.lr:.2e}",
                       "loss": f"{sums[0] / seen:.4f}", "balance": f"{sums[1] / seen:.3f}", "token_accuracy": f"{sums[2] / seen:.4f}",
                       "tokens_per_second": int(mark_tokens / (now - mark))}
                append(os.path.join(folder, "loss.csv"), row)
                print(row, flush=True)
                mark, mark_tokens, sums, seen = now, 0, [0.0, 0.0, 0.0], 0
            if step % args.eval_steps == 0:
                evaluate()
            done = step >= args.max_steps or (decay_from is not None and step - decay_from >= args.decay_steps)
            if done or stop or time.time() - saved_at > args.save_seconds:
                snapshot()
                saved_at = time.time()
            if done:
                evaluate()
            if done or stop:
                return
        shard, batch = shard + 1, 0
    snapshot()
    evaluate()


if __name__ == "__main__":
    main()
