"""Muon (Jordan et al., 2024): momentum, made orthogonal by a Newton-Schulz iteration, for matrices."""
import torch


def orthogonalise(g, steps=5):
    """The nearest semi-orthogonal matrix, roughly, of each matrix in g [N, rows, cols], rows <= cols."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        s = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.float()


class Muon(torch.optim.Optimizer):
    """Parameters are [rows, cols] or stacks [N, rows, cols]; `split` says how a parameter's rows divide
    into separate matrices (q, k and v; gate and up). Steps are scaled to the size of AdamW's."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, split=None))

    @torch.no_grad()
    def step(self):
        alike = {}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                start = 0
                for rows in group["split"] or [p.shape[-2]]:
                    piece = update.narrow(-2, start, rows)
                    target = p.narrow(-2, start, rows)
                    start += rows
                    piece, target = (t if t.dim() == 3 else t.unsqueeze(0) for t in (piece, target))
                    flip = piece.shape[-2] > piece.shape[-1]
                    if flip:
                        piece, target = piece.mT, target.mT
                    alike.setdefault(piece.shape[1:], []).append((piece, target, group["lr"]))
        for shape, members in alike.items():
            whole = orthogonalise(torch.cat([m[0] for m in members]))
            scale = 0.2 * max(shape) ** 0.5
            start = 0
            for piece, target, lr in members:
                target.add_(whole[start:start + len(piece)], alpha=-lr * scale)
                start += len(piece)
