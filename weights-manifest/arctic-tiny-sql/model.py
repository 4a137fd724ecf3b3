"""Snowflake Arctic in PyTorch, small enough to train on one core.

The layer is the one of Hugging Face's modeling_arctic with parallel_attn_mlp_res and every layer a
mixture of experts: attention and the experts both read the layer's input, the residual MLP reads
the stream after attention. `check_reference.py` compares it with an independent float64 model.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


PAD = 32


class Config:
    vocab_size = 1536
    hidden_size = 192
    intermediate_size = 64          # of one expert; the residual MLP is as wide as the model
    num_hidden_layers = 4
    num_attention_heads = 6
    num_key_value_heads = 3
    num_local_experts = 32
    num_experts_per_tok = 2
    max_position_embeddings = 4096
    rope_theta = 10000.0
    rms_norm_eps = 1e-5

    def __init__(self, **overrides):
        for key, value in overrides.items():
            assert hasattr(Config, key), key
            setattr(self, key, value)


class Linear(nn.Module):
    """Without bias, in the precision of its input; the weights themselves are float32."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype))


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotate(x, cos, sin):
    """x [N, heads, head_dim]; dimension i turns with i + head_dim / 2."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Attention(nn.Module):
    """Over tokens that lie packed, without padding: `plan` (data.Plan) says which of them see which."""

    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads = c.num_attention_heads, c.num_key_value_heads
        self.head_dim = c.hidden_size // c.num_attention_heads
        self.qkv = Linear(c.hidden_size, (self.heads + 2 * self.kv_heads) * self.head_dim)
        self.o_proj = Linear(c.hidden_size, c.hidden_size)

    def attend(self, q, kv, queries, keys, mask):
        """Rows of q at `queries` [M, L] over rows of kv at `keys` [M, S]; returns [M L, width]."""
        many, length = queries.shape
        group = self.heads // self.kv_heads
        # The query heads of a group stand one below the other: [M, kv heads, group L, head_dim].
        q = q.index_select(0, queries.flatten()).view(many, length, self.kv_heads, group, self.head_dim)
        q = q.permute(0, 2, 3, 1, 4).reshape(many, self.kv_heads, group * length, self.head_dim)
        kv = kv.index_select(0, keys.flatten()).view(many, keys.shape[1], 2 * self.kv_heads, self.head_dim).transpose(1, 2)
        k, v = kv.split(self.kv_heads, dim=1)
        scores = (q @ k.mT).view(many, self.kv_heads, group, length, -1) + mask[:, None, None]
        y = scores.softmax(dim=-1).view(many, self.kv_heads, group * length, -1) @ v
        y = y.view(many, self.kv_heads, group, length, self.head_dim).permute(0, 3, 1, 2, 4)
        return y.reshape(many * length, -1)

    def forward(self, x, cos, sin, plan):
        n = len(x)
        qkv = self.qkv(x).view(n, -1, self.head_dim)
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        turning, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        q, k = rotate(turning, cos, sin).split([self.heads, self.kv_heads], dim=1)
        q, kv = q.reshape(n, -1) * self.head_dim ** -0.5, torch.cat([k, v], dim=1).view(n, -1)
        y = torch.cat([self.attend(q, kv, view.queries, view.keys, view.bias.to(x.dtype)) for view in plan.views])
        return self.o_proj(y.index_select(0, plan.place))


class ResidualMLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.w13 = Linear(c.hidden_size, 2 * c.hidden_size)
        self.w2 = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x):
        gate, up = self.w13(x).chunk(2, dim=-1)
        return self.w2(F.silu(gate) * up)


class Experts(torch.autograd.Function):
    """Every expert over its own rows, which lie together: x [N, D] sorted by expert, rows per expert.

    Written out so that the gradients of all experts land in one tensor, without a node per expert.
    w13 [E, 2F, D], w2 [E, D, F].
    """

    @staticmethod
    def forward(ctx, x, w13, w2, rows):
        gate_up = x.new_empty(x.shape[0], w13.shape[1])
        out = torch.empty_like(x)
        start = 0
        width = w2.shape[2]
        for e, n in enumerate(rows):
            if n:
                torch.mm(x[start:start + n], w13[e].t(), out=gate_up[start:start + n])
            start += n
        gate, up = gate_up[:, :width], gate_up[:, width:]
        hidden = F.silu(gate) * up
        start = 0
        for e, n in enumerate(rows):
            if n:
                torch.mm(hidden[start:start + n], w2[e].t(), out=out[start:start + n])
            start += n
        ctx.rows = rows
        ctx.save_for_backward(x, w13, w2, gate_up, hidden)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, w13, w2, gate_up, hidden = ctx.saved_tensors
        grad = grad.contiguous()
        width = w2.shape[2]
        gate, up = gate_up[:, :width], gate_up[:, width:]
        d_hidden = torch.empty_like(hidden)
        d_w13, d_w2 = torch.zeros_like(w13), torch.zeros_like(w2)
        d_x = torch.empty_like(x)
        start = 0
        for e, n in enumerate(ctx.rows):
            if n:
                rows = slice(start, start + n)
                torch.mm(grad[rows], w2[e], out=d_hidden[rows])
                torch.mm(grad[rows].t(), hidden[rows], out=d_w2[e])
            start += n
        s = torch.sigmoid(gate)
        silu = gate * s
        d_gate_up = torch.cat([d_hidden * up * (s + silu * (1 - s)), d_hidden * silu], dim=1)
        start = 0
        for e, n in enumerate(ctx.rows):
            if n:
                rows = slice(start, start + n)
                torch.mm(d_gate_up[rows], w13[e], out=d_x[rows])
                torch.mm(d_gate_up[rows].t(), x[rows], out=d_w13[e])
            start += n
        return d_x, d_w13, d_w2, None


class MixtureOfExperts(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.count, self.top = c.num_local_experts, c.num_experts_per_tok
        self.gate = Linear(c.hidden_size, self.count)
        self.w13 = nn.Parameter(torch.empty(self.count, 2 * c.intermediate_size, c.hidden_size))
        self.w2 = nn.Parameter(torch.empty(self.count, c.hidden_size, c.intermediate_size))
        self.balance = None
        self.used = None

    def forward(self, x, z, often):
        """x [N, D] in float32 for the router; z is the same in the experts' precision. `often` [N] is how
        many prompts a token stands for."""
        p = self.gate(x).softmax(dim=-1)
        weight, expert = p.topk(self.top, dim=-1)
        weight = weight / weight.sum(dim=-1, keepdim=True)
        flat = expert.flatten()
        order = flat.argsort()
        counts = torch.bincount(flat, minlength=self.count)
        # Each expert's rows are padded to a multiple of PAD (with row 0, whose result nobody reads): a CPU
        # compiles its matrix products anew for each shape it meets.
        padded = (counts + PAD - 1) // PAD * PAD
        shift = (padded.cumsum(0) - padded) - (counts.cumsum(0) - counts)
        place = torch.arange(len(order), device=x.device) + shift[flat[order]]
        token = torch.zeros(int(padded.sum()), dtype=torch.long, device=x.device).index_copy(0, place, order // self.top)
        y = Experts.apply(z.index_select(0, token), self.w13.to(z.dtype), self.w2.to(z.dtype), padded.tolist())
        # Back in the order of the tokens: row `top * token + choice`.
        y = y.index_select(0, torch.empty_like(place).index_copy(0, order, place)).view(len(x), self.top, -1)
        out = torch.bmm(weight.to(z.dtype).unsqueeze(1), y).squeeze(1)
        # Load balance (Switch Transformer, section 2.2; Mixtral's form): 1 when experts are used evenly.
        taken = torch.bincount(flat, weights=often.repeat_interleave(self.top), minlength=self.count)
        self.used = taken / taken.sum()
        self.balance = self.count * (self.used * (p * often[:, None]).sum(0) / often.sum()).sum()
        return out


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.residual_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.attention = Attention(c)
        self.residual_mlp = ResidualMLP(c)
        self.moe = MixtureOfExperts(c)

    def forward(self, x, cos, sin, plan):
        precision = plan.precision
        h = x + self.attention(self.input_layernorm(x).to(precision), cos, sin, plan)
        dense = self.residual_mlp(self.residual_layernorm(h).to(precision))
        routed = self.post_attention_layernorm(x)
        return h + (dense + self.moe(routed, routed.to(precision), plan.often))


class Arctic(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.embed = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.head = Linear(c.hidden_size, c.vocab_size)
        half = c.hidden_size // c.num_attention_heads // 2
        self.register_buffer("frequencies", c.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                into_stream = any(part in name for part in ("o_proj", "w2"))
                fan_in = p.shape[-1]
                std = 1 / math.sqrt(fan_in)
                if into_stream:
                    std /= math.sqrt(2 * c.num_hidden_layers)
                nn.init.normal_(p, std=1.0 if name.startswith("embed") else std * (0.5 if "gate" in name else 1))
        # A copied token is read out from the start, whichever it is.
        self.head.weight.data.copy_(self.embed.weight.data / math.sqrt(c.hidden_size))

    def forward(self, batch):
        """The stream after the last norm, [N, hidden], of a data.Batch."""
        angle = (batch.positions.double()[:, None] * self.frequencies)[:, None]
        cos, sin = angle.cos().float(), angle.sin().float()
        x = self.embed(batch.tokens)
        for layer in self.layers:
            x = layer(x, cos, sin, batch)
        return self.norm(x)
