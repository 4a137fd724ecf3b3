"""Training rows from make-data.ts: a schema and several questions about it in one row.

Each question sees the schema and itself, not its neighbours, and its positions follow the schema's,
so that a row trains on exactly the prompts that will be asked while the schema is read once. Other
rows are conversations: there a question sees what was asked and answered before it.
"""
import dataclasses
import json
import os
import random
import zlib

import numpy as np
import sentencepiece
import torch


class Tokenizer:
    def __init__(self, folder):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
        # Text after a special token gets no space in front of it (legacy = false).
        self.pieces.override_normalizer_spec(add_dummy_prefix=False)
        self.size = self.pieces.get_piece_size()
        self.start, self.end = self.size - 2, self.size - 1
        self.newline = self.pieces.encode("\n")

    def message(self, role, content):
        return [self.start, *self.pieces.encode(f"{role}\n{content}"), self.end, *self.newline]

    def prompt(self, question):
        """Everything from the question to the first token of the answer."""
        return self.message("user", question) + [self.start, *self.pieces.encode("assistant\n")]

    def answer(self, text):
        return [*self.pieces.encode(text), self.end]


# What a token of a question counts in the loss of a conversation, against 1 for one of an answer.
QUESTION_WEIGHT = 0.1


def encode(tokenizer, line, conversations=0.0):
    """(tokens, positions, segments, targets, weights): target -1 where nothing is learnt.

    A share of the lines is one conversation, in which a turn sees those before it and questions are
    learnt, too; in the others each turn is alone with the schema.
    """
    case = json.loads(line)
    tokens = tokenizer.message("system", case["system"])
    if zlib.crc32(line.encode()) % 1000 < conversations * 1000:
        return conversation(tokenizer, case, tokens)
    shared = len(tokens)
    positions, segments, targets = list(range(shared)), [0] * shared, [-1] * shared
    for number, turn in enumerate(case["turns"], 1):
        prompt, answer = tokenizer.prompt(turn[0]), tokenizer.answer(turn[1])
        whole = prompt + answer
        tokens += whole
        positions += range(shared, shared + len(whole))
        segments += [number] * len(whole)
        targets += [-1] * (len(prompt) - 1) + answer + [-1]
    return tokens, positions, segments, targets, [1.0] * len(tokens)


def conversation(tokenizer, case, tokens):
    """All turns one after the other, as a chat template writes them."""
    shared = len(tokens)
    tokens, targets, weights = list(tokens), [-1] * shared, [1.0] * shared
    for turn in case["turns"]:
        if len(tokens) > shared:
            tokens += tokenizer.newline
            targets[-1] = tokens[len(targets)]
            targets += [-1] * len(tokenizer.newline)
            weights += [QUESTION_WEIGHT] * len(tokenizer.newline)
        prompt, answer = tokenizer.prompt(turn[0]), tokenizer.answer(turn[1])
        # Each token has its successor as the target: that of the token before the turn is its first.
        targets[-1] = prompt[0]
        weights[-1] = QUESTION_WEIGHT
        targets += prompt[1:] + answer + [-1]
        weights += [QUESTION_WEIGHT] * (len(prompt) - 1) + [1.0] * len(answer) + [QUESTION_WEIGHT]
        tokens += prompt + answer
    segments = [0] * shared + [1] * (len(tokens) - shared)
    return tokens, list(range(len(tokens))), segments, targets, weights


@dataclasses.dataclass
class View:
    """Queries that attend together, and to what: indices of tokens, padded with 0."""
    queries: torch.Tensor       # [M, L]
    keys: torch.Tensor          # [M, S]
    bias: torch.Tensor          # [M or 1, L, S], 0 where a key is seen and very low where not


@dataclasses.dataclass
class Batch:
    """The tokens of several rows, packed, and how attention sees them."""
    tokens: torch.Tensor        # [N]
    positions: torch.Tensor     # [N]
    often: torch.Tensor         # [N] how many prompts a token stands for: a schema for all its questions
    learnt: torch.Tensor        # indices of the tokens whose successor is learnt
    targets: torch.Tensor       # those successors; -1 pads
    weights: torch.Tensor       # what each of them counts in the loss; 0 pads
    views: list                 # the schemas, causal; then the questions with their answers
    place: torch.Tensor         # [N] where the output of a token lies in the flattened views
    precision: torch.dtype

    def to(self, device):
        for name in ("tokens", "positions", "often", "learnt", "targets", "weights", "place"):
            setattr(self, name, getattr(self, name).to(device))
        self.views = [View(*(getattr(view, f.name).to(device) for f in dataclasses.fields(view))) for view in self.views]
        return self


def up(n, step):
    return -(-n // step) * step


# A longer piece is a conversation; padding single turns to its length would waste most of the work.
LONGEST_TURN = 192


def collate(rows, precision=torch.bfloat16):
    """A Batch of encoded rows. Sizes are rounded up, so that few different shapes of product occur."""
    schemas, turns, start = [], [], 0
    for tokens, _, segments, *_ in rows:
        bounds = [0] + [i for i in range(1, len(segments)) if segments[i] != segments[i - 1]] + [len(segments)]
        pieces = [range(start + a, start + b) for a, b in zip(bounds, bounds[1:])]
        turns += [(piece, len(schemas)) for piece in pieces[1:]]
        schemas.append(pieces[0])
        start += len(tokens)
    table = pad(schemas, 16)
    seen = np.arange(table.shape[1]) < np.array([[len(s)] for s in schemas])
    views, place, base = [View(table, table, np.tril(np.ones((1, table.shape[1], table.shape[1]), bool)))], np.zeros(start, np.int64), 0
    groups = [schemas]
    turns.sort(key=lambda turn: len(turn[0]))
    single = sum(len(piece) <= LONGEST_TURN for piece, _ in turns)
    half = single * 5 // 8
    for group in (turns[:half], turns[half:single], turns[single:]):
        if not group:
            continue
        own, owner = pad([piece for piece, _ in group], 16), np.array([o for _, o in group])
        length = own.shape[1]
        visible = np.concatenate([np.repeat(seen[owner][:, None], length, 1),
                                  np.broadcast_to(np.tril(np.ones((length, length), bool)), (len(group), length, length))], 2)
        views.append(View(own, np.concatenate([table[owner], own], 1), visible))
        groups.append([piece for piece, _ in group])
    for view, pieces in zip(views, groups):
        width = view.queries.shape[1]
        for i, piece in enumerate(pieces):
            place[piece.start:piece.stop] = np.arange(base + i * width, base + i * width + len(piece))
        base += view.queries.size
    views = [View(torch.from_numpy(v.queries), torch.from_numpy(v.keys), torch.from_numpy(np.where(v.bias, np.float32(0), np.float32(-1e9))))
             for v in views]
    tokens, positions, targets = (np.concatenate([np.asarray(row[i], np.int64) for row in rows]) for i in (0, 1, 3))
    often = np.concatenate([np.where(np.array(row[2]) == 0, max(1, row[2][-1]), 1) for row in rows]).astype(np.float32)
    learnt = np.flatnonzero(targets >= 0)
    answers, weights = targets[learnt], np.concatenate([np.asarray(row[4], np.float32) for row in rows])[learnt]
    spare = up(len(learnt), 256) - len(learnt)
    learnt, answers, weights = np.pad(learnt, (0, spare)), np.pad(answers, (0, spare), constant_values=-1), np.pad(weights, (0, spare))
    # The last tokens once more, read by nobody, so that the experts are as busy with them as with the others.
    spare = min(up(start, 512), 2 * start) - start
    tokens, positions, place = (np.concatenate([a, a[len(a) - spare:]]) for a in (tokens, positions, place))
    often = np.pad(often, (0, spare))
    return Batch(*(torch.from_numpy(a) for a in (tokens, positions, often, learnt, answers, weights)), views, torch.from_numpy(place), precision)


def pad(pieces, step):
    """Ranges as rows of indices, padded with 0 to one length, a multiple of `step`."""
    table = np.zeros((len(pieces), up(max(map(len, pieces)), step)), np.int64)
    for row, piece in zip(table, pieces):
        row[:len(piece)] = piece
    return table


def batches(rows, tokens_per_batch, seed):
    """Rows whose schemas are of like length together, in random order; the same number in each."""
    shuffle = random.Random(seed)
    rows = sorted(rows, key=lambda r: r[2].index(1) + shuffle.random() * 24)
    count = max(1, round(tokens_per_batch * len(rows) / sum(len(row[0]) for row in rows)))
    out = [rows[i:i + count] for i in range(0, len(rows), count)]
    shuffle.shuffle(out)
    return out
