"""Single operations of torch and transformers: activations, norms, rotary frequencies, sampling filters. See README.md."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common import HERE, torch, versions, write_json, write_tensors
from transformers import LlamaConfig
from transformers.generation import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                                     TopPLogitsWarper)
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

ROOT = HERE / "ops"


def activations():
    g = torch.Generator().manual_seed(60)
    x = torch.cat([torch.linspace(-12, 12, 241), 3 * torch.randn(100, generator=g),
                   torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 40.0, -40.0, 100.0, -100.0, 1e30, -1e30])])
    d = x.double()
    f = torch.nn.functional
    write_tensors(ROOT / "activations.safetensors", dict(x=x, silu=f.silu(d), gelu=f.gelu(d), gelu_tanh=f.gelu(d, approximate="tanh")))


@torch.no_grad()
def norms():
    g = torch.Generator().manual_seed(61)
    x = torch.randn(9, 70, generator=g) * torch.tensor([1, 1, 1e-3, 1e3, 1e-6, 1e12, 0, 1, 1])[:, None]
    x[7] += 100  # a mean much larger than the deviation
    weight, bias = 1 + 0.3 * torch.randn(70, generator=g), 0.5 * torch.randn(70, generator=g)
    rms = LlamaRMSNorm(70, eps=1e-5)
    rms.weight.data = weight
    d = x.double()
    exact = weight.double() * d * torch.rsqrt(d.pow(2).mean(-1, keepdim=True) + 1e-5)
    write_tensors(ROOT / "norms.safetensors", dict(
        x=x, weight=weight, bias=bias, rms_norm=rms(x), rms_norm_exact=exact, softmax=torch.softmax(d, -1),
        layer_norm=torch.nn.functional.layer_norm(x, (70,), weight, bias, 1e-12),
        layer_norm_exact=torch.nn.functional.layer_norm(d, (70,), weight.double(), bias.double(), 1e-12)))


def ropes():
    base = dict(rope_theta=10000.0)
    cases = {
        "default": (64, 2048, dict(base, rope_type="default"), 0),
        "default_large_theta": (128, 131072, dict(rope_type="default", rope_theta=1e7), 0),
        "odd_half": (18, 128, dict(base, rope_type="default"), 0),
        "linear": (64, 4096, dict(base, rope_type="linear", factor=4.0), 0),
        "llama3_8b": (128, 131072, dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                        original_max_position_embeddings=8192), 0),
        "llama3_1b": (64, 131072, dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                       original_max_position_embeddings=8192), 0),
        "dynamic_short": (64, 2048, dict(base, rope_type="dynamic", factor=2.0), 100),
        "dynamic_long": (64, 2048, dict(base, rope_type="dynamic", factor=2.0), 5000),
        "dynamic_longer": (64, 2048, dict(base, rope_type="dynamic", factor=4.0), 8192),
        "yarn_qwen": (128, 131072, dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=32768), 0),
        "yarn_betas": (64, 8192, dict(base, rope_type="yarn", factor=16.0, original_max_position_embeddings=512, beta_fast=16.0,
                                      beta_slow=2.0), 0),
        "yarn_untruncated": (64, 8192, dict(base, rope_type="yarn", factor=16.0, original_max_position_embeddings=512, truncate=False), 0),
        "yarn_mscale": (64, 8192, dict(base, rope_type="yarn", factor=40.0, original_max_position_embeddings=4096, mscale=1.0,
                                       mscale_all_dim=0.707), 0),
        "yarn_attention_factor": (64, 8192, dict(base, rope_type="yarn", factor=2.0, original_max_position_embeddings=4096,
                                                 attention_factor=0.9), 0),
    }
    out = {}
    for name, (dim, positions, parameters, length) in cases.items():
        config = LlamaConfig(hidden_size=2 * dim, num_attention_heads=2, head_dim=dim, max_position_embeddings=positions,
                             rope_parameters=parameters)
        rope = LlamaRotaryEmbedding(config)
        p = torch.tensor([[0, 1, 7, 1000, (length or positions) - 1]])
        cos, sin = rope(torch.zeros(1), p)
        half = dim // 2
        out[name] = dict(dim=dim, max_position_embeddings=positions, length=length, parameters=parameters, inv_freq=rope.inv_freq.tolist(),
                         attention_factor=float(rope.attention_scaling), positions=p[0].tolist(), cos=cos[0, :, :half].tolist(),
                         sin=sin[0, :, :half].tolist())
    write_json(ROOT / "rope.json", dict(made_with=versions("torch", "transformers"), cases=out), compact=True)


def sampling():
    g = torch.Generator().manual_seed(62)
    logits = 3 * torch.randn(40, generator=g)
    logits[7] = logits[3]  # ties
    logits[11] = logits.max() + 0.5
    tied = torch.tensor([1.0, 2.0, 2.0, 2.0, 0.0, -1.0])
    seen = [3, 3, 11, 20, 39]
    penalty, temperature, top_k, top_p, min_p = (RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                                                 TopPLogitsWarper, MinPLogitsWarper)
    cases = [("penalty", logits, dict(repetition_penalty=1.3)), ("reward", logits, dict(repetition_penalty=0.8)),
             ("temperature", logits, dict(temperature=0.7)), ("hot", logits, dict(temperature=2.5)),
             ("top_k", logits, dict(temperature=1.0, top_k=5)), ("top_1", logits, dict(temperature=1.0, top_k=1)),
             ("top_k_ties", tied, dict(temperature=1.0, top_k=2)), ("top_p", logits, dict(temperature=1.0, top_p=0.8)),
             ("top_p_small", logits, dict(temperature=1.0, top_p=0.01)), ("top_p_hot", logits, dict(temperature=3.0, top_p=0.9)),
             ("min_p", logits, dict(temperature=1.0, min_p=0.1)), ("min_p_one", logits, dict(temperature=1.0, min_p=1.0)),
             ("all", logits, dict(repetition_penalty=1.2, temperature=1.5, top_k=12, top_p=0.9, min_p=0.05))]
    made = dict(repetition_penalty=penalty, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    out = []
    for name, x, options in cases:
        y = x[None].clone()
        for key in made:  # the order of generate()
            if key in options:
                y = made[key](options[key])(torch.tensor([seen if len(x) == 40 else []], dtype=torch.long), y)
        p = torch.softmax(y[0].double(), -1)
        out.append(dict(name=name, logits=x.tolist(), seen=seen if len(x) == 40 else [], options=options,
                        kept=[i for i, v in enumerate(y[0].tolist()) if v > float("-inf")],
                        result=[v if v > float("-inf") else None for v in y[0].tolist()], probability=p.tolist()))
    write_json(ROOT / "sampling.json", dict(made_with=versions("torch", "transformers"), cases=out), compact=True)


if __name__ == "__main__":
    activations(), norms(), ropes(), sampling()
