#!/usr/bin/env python3
"""Learns the vocabulary and writes tokenizer.model and tokenizer_config.json.

    train_tokenizer.py DATA.jsonl OUT_FOLDER

A SentencePiece BPE model with byte fallback, learnt in stages so that a name is cut into the same
pieces wherever it stands (after a space in the question, after a bracket, dot or quote in SQL):
copying it is then a plain copy of ids. A merge of an earlier stage always wins, since BPE applies
the highest score first.
  1. names      inside words alone; no piece but "s" ends in s, so "orders" is "order" + "s"
  2. structure  what stands between the names in SQL and DDL, with the spaces around it
  3. wording    frequent words of the questions, whole
  4. the same words with the space before them
"""
import collections
import json
import os
import re
import struct
import sys

VOCABULARY = 1536
NAME_MERGES = 420
STRUCTURE_MERGES = 330
SPACE = "\u2581"
# As in Arctic, the last two ids are redefined by tokenizer_config.json; these are Llama 2's pieces.
REDEFINED = ["\u5f18", "\u7ed9"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def apply(word, merges):
    """The symbols of `word` once the ranked merges are applied, best rank first, leftmost first."""
    parts = list(word)
    while len(parts) > 1:
        ranks = [merges.get(parts[i] + parts[i + 1], 1 << 30) for i in range(len(parts) - 1)]
        best = min(ranks)
        if best == 1 << 30:
            break
        i = ranks.index(best)
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return tuple(parts)


def learn(counts, merges, limit, allowed):
    """Adds up to `limit` merges: each time the most frequent allowed pair of adjacent symbols."""
    words = collections.Counter()
    for word, count in counts.items():
        words[apply(word, merges)] += count
    for _ in range(limit):
        pairs = collections.Counter()
        for parts, count in words.items():
            for pair in zip(parts, parts[1:]):
                if allowed(pair[0] + pair[1]):
                    pairs[pair] += count
        if not pairs:
            return
        (a, b), count = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if count < 2:
            return
        merges.setdefault(a + b, len(merges))
        merged = collections.Counter()
        for parts, count in words.items():
            if a in parts:
                out, i = [], 0
                while i < len(parts):
                    if i + 1 < len(parts) and parts[i] == a and parts[i + 1] == b:
                        out.append(a + b)
                        i += 2
                    else:
                        out.append(parts[i])
                        i += 1
                parts = tuple(out)
            merged[parts] += count
        words = merged


def vocabulary(path):
    names, structure, wording = collections.Counter(), collections.Counter(), collections.Counter()
    with open(path) as f:
        for line in f:
            case = json.loads(line)
            ddl = set(re.findall(r"[a-z]+", case["system"])) - {"id"}
            names.update(ddl)
            for question, answer in case["turns"]:
                if answer.startswith("SELECT"):
                    names.update(value.lower() for value in re.findall(r"'([A-Z][a-z]+)", answer))
                wording.update(w for w in re.findall(r"[A-Za-z][a-z]*", question) if w.lower() not in ddl)
                if not answer.startswith("SELECT"):
                    wording.update({w: 40 for w in re.findall(r"[A-Za-z]+", answer)})
            for text in [case["system"]] + [a for _, a in case["turns"] if a.startswith("SELECT")]:
                text = re.sub(r"'([\w@.%-]* ?\w*)'", lambda m: m[0] if m[1].startswith("%") and m[1][1:] in ("Y", "Y-%m") else f"'\n{m[1]}\n'", text)
                for part in re.split(r"\n[^\n]*\n|(?<![%\w])(?!id\b|strftime\b)[a-z][a-z_0-9]*|[0-9.]+|\n", text):
                    if part and len(part) > 1:
                        structure[part.replace(" ", SPACE)] += 1
    merges = {}
    learn(names, merges, NAME_MERGES, lambda s: not s.endswith("s") and len(s) <= 6)
    named = len(merges)
    keywords = {word for text in structure for word in re.findall("[A-Z]{2,}", text)}

    def structural(piece):
        # A space joins a whole keyword only: "▁T", on the way to "▁TEXT", would split the value " Tavor".
        spaced = re.findall(f"{SPACE}([A-Z]+)", piece)
        return not re.search("[0-9]", piece) and all(word in keywords for word in spaced)

    learn(structure, merges, STRUCTURE_MERGES, structural)
    structured = len(merges)
    chars = [SPACE] + [chr(c) for c in range(33, 127)]
    room = VOCABULARY - 3 - 256 - len(chars) - len(REDEFINED)
    # "system" and the other roles open every message.
    wording.update({role: 10 ** 9 for role in ("system", "user", "assistant")})
    whole, spaced = [], []
    for word, _ in wording.most_common():
        if len(word) == 1:
            continue        # "▁a" would split the names that begin with the piece "a"
        parts = apply(word, merges)
        inner = ["".join(parts[:i]) for i in range(2, len(parts) + 1)]
        inner = [s for s in inner if s not in merges and s not in whole]
        outer = [] if word in ("system", "user", "assistant") else [SPACE + word]
        if len(merges) + len(whole) + len(spaced) + len(inner) + len(outer) > room:
            break
        whole += inner
        spaced += outer
    for step in whole + spaced:
        merges.setdefault(step, len(merges))
    print(f"{named} name pieces, {structured - named} of structure, {len(merges) - structured} of wording, {room - len(merges)} spare")
    pieces = list(merges)
    while len(pieces) < room:
        pieces.append(f"<spare{len(pieces)}>")
    return pieces + chars


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value & (1 << 64) - 1)


def chunk(field, payload):
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def model_proto(pieces, dummy_prefix=True):
    """sentencepiece_model.proto, ModelProto: pieces (1), trainer_spec (2), normalizer_spec (3)."""
    NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
    entries = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    entries += [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
    entries += [(piece, -float(i), NORMAL) for i, piece in enumerate(pieces + REDEFINED)]
    assert len(entries) == VOCABULARY and len({e[0] for e in entries}) == VOCABULARY
    out = b"".join(chunk(1, chunk(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind))
                   for text, score, kind in entries)
    trainer = number(3, 2) + number(4, VOCABULARY) + number(35, 1) + number(40, 0) + number(41, 1) + number(42, 2) + number(43, -1)
    normalizer = chunk(1, b"identity") + number(3, int(dummy_prefix)) + number(4, 0) + number(5, 1)
    return out + chunk(2, trainer) + chunk(3, normalizer)


def main(data, out):
    pieces = vocabulary(data)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "tokenizer.model"), "wb") as f:
        f.write(model_proto(pieces))
    special = {0: "<unk>", 1: "<s>", 2: "</s>", VOCABULARY - 2: "<|im_start|>", VOCABULARY - 1: "<|im_end|>"}
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {
            str(i): {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
            for i, text in special.items()},
        "bos_token": "<|im_start|>",
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "legacy": False,
        "sp_model_kwargs": {},
        "tokenizer_class": "ArcticTokenizer",
        "unk_token": "<unk>",
    }
    with open(os.path.join(out, "tokenizer_config.json"), "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
