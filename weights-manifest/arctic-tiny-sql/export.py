#!/usr/bin/env python3
"""Writes a checkpoint of train.py as a Hugging Face Arctic folder: bf16 safetensors, config, tokenizer.

    export.py WORK OUT [--name main]
"""
import argparse
import json
import os
import shutil

import torch

from model import Arctic, Config


def tensors(model):
    """Hugging Face's names and shapes, in the order of the layers."""
    c = model.config
    head_dim = c.hidden_size // c.num_attention_heads
    kv = c.num_key_value_heads * head_dim
    out = {"model.embed_tokens.weight": model.embed.weight}
    for i, layer in enumerate(model.layers):
        p = f"model.layers.{i}."
        q, k, v = layer.attention.qkv.weight.split([c.hidden_size, kv, kv])
        w1, w3 = layer.residual_mlp.w13.weight.chunk(2)
        out |= {
            p + "input_layernorm.weight": layer.input_layernorm.weight,
            p + "self_attn.q_proj.weight": q,
            p + "self_attn.k_proj.weight": k,
            p + "self_attn.v_proj.weight": v,
            p + "self_attn.o_proj.weight": layer.attention.o_proj.weight,
            p + "residual_layernorm.weight": layer.residual_layernorm.weight,
            p + "residual_mlp.w1.weight": w1,
            p + "residual_mlp.w2.weight": layer.residual_mlp.w2.weight,
            p + "residual_mlp.w3.weight": w3,
            p + "post_attention_layernorm.weight": layer.post_attention_layernorm.weight,
            p + "block_sparse_moe.gate.weight": layer.moe.gate.weight,
        }
        for e in range(c.num_local_experts):
            w1, w3 = layer.moe.w13[e].chunk(2)
            x = f"{p}block_sparse_moe.experts.{e}."
            out |= {x + "w1.weight": w1, x + "w2.weight": layer.moe.w2[e], x + "w3.weight": w3}
    return out | {"model.norm.weight": model.norm.weight, "lm_head.weight": model.head.weight}


def save_safetensors(path, tensors):
    """The safetensors format: length of the header, JSON header, raw little-endian data."""
    header, offset, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, tensor in tensors.items():
        blob = tensor.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".partial", "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for blob in blobs:
            f.write(blob)
    os.replace(path + ".partial", path)


def hugging_face_config(c):
    return {
        "architectures": ["ArcticForCausalLM"], "model_type": "arctic", "attention_dropout": 0,
        "bos_token_id": c.vocab_size - 2, "eos_token_id": c.vocab_size - 1, "enable_expert_tensor_parallelism": False,
        "hidden_act": "silu", "hidden_size": c.hidden_size, "initializer_range": 0.02, "intermediate_size": c.intermediate_size,
        "max_position_embeddings": c.max_position_embeddings, "moe_eval_capacity_factor": 1, "moe_layer_frequency": 1,
        "moe_min_capacity": 0, "moe_token_dropping": True, "moe_train_capacity_factor": 1,
        "num_attention_heads": c.num_attention_heads, "num_experts_per_tok": c.num_experts_per_tok,
        "num_hidden_layers": c.num_hidden_layers, "num_key_value_heads": c.num_key_value_heads,
        "num_local_experts": c.num_local_experts, "parallel_attn_mlp_res": True, "quantization": None,
        "rms_norm_eps": c.rms_norm_eps, "rope_theta": int(c.rope_theta), "router_aux_loss_coef": 0.03, "sliding_window": None,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.39.0.dev0", "use_cache": True,
        "use_residual": True, "vocab_size": c.vocab_size,
    }


def export(model, tokenizer, out):
    os.makedirs(out, exist_ok=True)
    c = model.config
    save_safetensors(os.path.join(out, "model.safetensors"), tensors(model))
    generation = {"_from_model_config": True, "bos_token_id": c.vocab_size - 2, "eos_token_id": c.vocab_size - 1,
                  "transformers_version": "4.39.0.dev0"}
    for name, content in (("config.json", hugging_face_config(c)), ("generation_config.json", generation)):
        with open(os.path.join(out, name), "w") as f:
            json.dump(content, f, indent=2, sort_keys=True)
            f.write("\n")
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(os.path.join(tokenizer, name), os.path.join(out, name))


def load(work, name):
    state = torch.load(os.path.join(work, name, "checkpoint.pt"), map_location="cpu", weights_only=False)
    model = Arctic(Config(**state["config"]))
    model.load_state_dict(state["average"])
    return model, state["step"]


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("out")
    ap.add_argument("--name", default="main")
    args = ap.parse_args()
    trained, step = load(args.work, args.name)
    export(trained, os.path.join(args.work, "tokenizer"), args.out)
    print(f"step {step} written to {args.out}")
