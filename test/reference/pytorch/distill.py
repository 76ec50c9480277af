"""The distillation of a 1-bit student in PyTorch, written from the paper and the method's facts alone: what
`onebit distill` is compared with, in its losses (same start, data and order) and in its speed.

    python3 distill.py FOLDER

FOLDER holds teacher/ (LlamaForCausalLM, safetensors), start/ (a packed OneBit checkpoint made by SVID),
windows.i32 ([steps * batch, window + 1] token ids) and recipe.json. Prints one JSON object a step, then one with
the peak memory. Needs torch and numpy only.
"""
import json
import math
import os
import resource
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

PROJECTIONS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
               "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
DTYPES = {"F32": np.float32, "F16": np.float16, "U8": np.uint8, "I8": np.uint8}


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        array = np.frombuffer(data[begin:end], dtype=DTYPES[info["dtype"]]).reshape(info["shape"])
        tensors[name] = torch.from_numpy(array.astype(np.float32) if array.dtype != np.uint8 else array.copy())
    return tensors


def unpack_signs(packed):
    """[out, in/8] bytes, least significant bit first, bit 1 = -1 -> [out, in] of +1 and -1."""
    bits = np.unpackbits(packed.numpy(), axis=1, bitorder="little")
    return torch.from_numpy(1.0 - 2.0 * bits.astype(np.float32))


class Signs(torch.autograd.Function):
    """Sign(latent) with the straight-through gradient of the authors' code."""

    @staticmethod
    def forward(context, latent):
        context.save_for_backward(latent)
        return torch.where(latent >= 0, 1.0, -1.0)

    @staticmethod
    def backward(context, gradient):
        (latent,) = context.saved_tensors
        return gradient * (1.001 - torch.tanh(latent) ** 2)


class Llama:
    def __init__(self, config, tensors, one_bit, window):
        self.config, self.tensors, self.one_bit = config, tensors, one_bit
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads", self.heads)
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads
        theta = config.get("rope_theta") or config.get("rope_parameters", {}).get("rope_theta", 10000.0)
        inverse = theta ** (-torch.arange(0, self.head_dim, 2, dtype=torch.float64) / self.head_dim)
        angles = torch.outer(torch.arange(window, dtype=torch.float64), inverse)
        angles = torch.cat([angles, angles], -1)
        self.cos, self.sin = angles.cos().float(), angles.sin().float()
        self.mask = torch.full((window, window), -math.inf).triu(1)

    def linear(self, x, name):
        weight = self.tensors[name + ".weight"]
        if not self.one_bit:
            return F.linear(x, weight)
        y = F.linear(x * self.tensors[name + ".input_factor"], Signs.apply(weight))
        return F.layer_norm(y * self.tensors[name + ".weight_scale"], (weight.shape[0],), eps=1e-5)

    def norm(self, x, name):
        inverse = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return x * inverse * self.tensors[name + ".weight"]

    def turn(self, x):
        low, high = x[..., :self.head_dim // 2], x[..., self.head_dim // 2:]
        return x * self.cos + torch.cat([-high, low], -1) * self.sin

    def attention(self, x, prefix):
        batch, window, _ = x.shape

        def heads(name, count):
            return self.linear(x, f"{prefix}.{name}").view(batch, window, count, self.head_dim).transpose(1, 2)

        q, k = self.turn(heads("q_proj", self.heads)), self.turn(heads("k_proj", self.kv_heads))
        v = heads("v_proj", self.kv_heads)
        if self.kv_heads != self.heads:
            k = k.repeat_interleave(self.heads // self.kv_heads, 1)
            v = v.repeat_interleave(self.heads // self.kv_heads, 1)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(self.head_dim) + self.mask, -1)
        return self.linear((weights @ v).transpose(1, 2).reshape(batch, window, -1), f"{prefix}.o_proj")

    def forward(self, tokens):
        """Logits, and the hidden states before each block."""
        x = F.embedding(tokens, self.tensors["model.embed_tokens.weight"])
        states = []
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}"
            states.append(x)
            x = x + self.attention(self.norm(x, f"{prefix}.input_layernorm"), f"{prefix}.self_attn")
            inner = self.norm(x, f"{prefix}.post_attention_layernorm")
            gate = F.silu(self.linear(inner, f"{prefix}.mlp.gate_proj"))
            x = x + self.linear(gate * self.linear(inner, f"{prefix}.mlp.up_proj"), f"{prefix}.mlp.down_proj")
        head = self.tensors.get("lm_head.weight", self.tensors["model.embed_tokens.weight"])
        return F.linear(self.norm(x, "model.norm"), head), states


def start_student(start, teacher, recipe):
    """Trainable tensors: latent weights, g and h; with train_all also what stays in full precision."""
    student = {}
    for name, tensor in start.items():
        if tensor.dtype == torch.uint8:
            signs = unpack_signs(tensor)
            size = torch.full_like(signs, 0.01)
            if recipe["latent_start"] == "weights":
                magnitude = teacher[name].abs()
                size = (magnitude * (0.01 / magnitude.mean())).clamp(min=1e-8)
            student[name] = signs * size
        elif name.endswith((".input_factor", ".weight_scale")) or recipe["train_all"]:
            student[name] = tensor.clone()
    for tensor in student.values():
        tensor.requires_grad_(True)
    return student


def learning_rate(recipe, step):
    share = step / recipe["steps"]
    warmup = min(1.0, max((step + 1) / recipe["warmup"], share / 0.1)) if recipe["warmup"] > 0 else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return recipe["learning_rate"] * warmup * (recipe["floor"] + (1 - recipe["floor"]) * cosine)


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "recipe.json")) as file:
        recipe = json.load(file)
    with open(os.path.join(folder, "teacher", "config.json")) as file:
        config = json.load(file)
    torch.set_num_threads(recipe["threads"])
    batch, window = recipe["batch"], recipe["window"]
    windows = np.fromfile(os.path.join(folder, "windows.i32"), dtype=np.int32).astype(np.int64)
    windows = torch.from_numpy(windows).view(-1, batch, window + 1)
    teacher_tensors = read_safetensors(os.path.join(folder, "teacher", "model.safetensors"))
    trained = start_student(read_safetensors(os.path.join(folder, "start", "model.safetensors")), teacher_tensors, recipe)
    teacher = Llama(config, teacher_tensors, False, window)
    student = Llama(config, {**teacher_tensors, **trained}, True, window)
    matrices = [tensor for tensor in trained.values() if tensor.dim() > 1]
    vectors = [tensor for tensor in trained.values() if tensor.dim() == 1]
    groups = [{"params": matrices, "weight_decay": recipe["weight_decay"]}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(recipe["beta1"], recipe["beta2"]), eps=1e-8)

    for step in range(recipe["steps"]):
        started = time.perf_counter()
        rows = windows[step]
        tokens = rows[:, :-1]
        with torch.no_grad():
            teacher_logits, teacher_states = teacher.forward(tokens)
        logits, states = student.forward(tokens)
        target = F.log_softmax(teacher_logits, -1)
        kl = F.kl_div(F.log_softmax(logits, -1), target, reduction="sum", log_target=True) / tokens.numel()
        hidden = sum((F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).pow(2).sum(-1).mean()
                     for a, b in zip(states, teacher_states))
        loss = recipe["kl_weight"] * kl + recipe["hidden_weight"] * hidden
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(trained.values()), recipe["clip"] or math.inf)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        optimizer.step()
        print(json.dumps({"step": step + 1, "loss": loss.item(), "kl": kl.item(), "hidden": float(hidden),
                          "gradientNorm": norm.item(), "seconds": time.perf_counter() - started}), flush=True)
    print(json.dumps({"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                      "torch": torch.__version__}))


main()
