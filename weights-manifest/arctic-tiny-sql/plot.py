#!/usr/bin/env python3
"""Draws loss.csv and accuracy.csv of a run as an SVG.

    plot.py RUN_FOLDER OUT.svg
"""
import csv
import os
import sys

WIDTH, HEIGHT, LEFT, TOP = 720, 320, 48, 16


def read(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(f)]


def line(points, most, colour):
    """Points are (tokens, share of the height)."""
    path = " ".join(f"{LEFT + x / most * WIDTH:.1f},{TOP + (1 - y) * HEIGHT:.1f}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{path}"/>'


def main(run, out):
    loss, accuracy = read(os.path.join(run, "loss.csv")), read(os.path.join(run, "accuracy.csv"))
    most = max(row["tokens"] for row in loss)
    top = 5.0
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + 110} {HEIGHT + 56}" font-family="sans-serif" font-size="11">',
             f'<rect width="100%" height="100%" fill="white"/><rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    for i in range(6):
        y = TOP + HEIGHT * (1 - i / 5)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{top * i / 5:.0f}</text>'
                     f'<text x="{LEFT + WIDTH + 6}" y="{y + 4:.0f}">{20 * i} %</text>')
        x = LEFT + WIDTH * i / 5
        parts.append(f'<text x="{x:.0f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{most * i / 5 / 1e6:.1f} M</text>')
    parts.append(line([(row["tokens"], min(1, row["loss"] / top)) for row in loss], most, "#888"))
    for key, colour in (("seen", "#1a7f37"), ("unseen", "#0969da")):
        if accuracy:
            parts.append(line([(row["tokens"], row[key]) for row in accuracy], most, colour))
    for i, (text, colour) in enumerate((("loss of the answers (left)", "#888"), ("exact answers, seen names (right)", "#1a7f37"),
                                        ("exact answers, unseen names (right)", "#0969da"))):
        parts.append(f'<text x="{LEFT + 10 + 190 * i}" y="{TOP + HEIGHT + 40}" fill="{colour}">{text}</text>')
    parts.append(f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 40}" text-anchor="end">tokens read</text></svg>')
    with open(out, "w") as f:
        f.write("\n".join(parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
