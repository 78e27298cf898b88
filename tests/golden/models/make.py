"""Tiny random decoders in Hugging Face directories, with what transformers computes from them. See README.md."""
import copy
import importlib
import json
import math
import shutil
import sys

sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parents[1]))
from common import HERE, in_double, torch, versions, write_json, write_tensors
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = HERE / "models"
LENGTHS = (1, 7, 40)  # tokens of the sequences; the last exceeds every window and original length below

base = dict(vocab_size=331, hidden_size=64, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, hidden_act="silu", max_position_embeddings=128, rms_norm_eps=1e-5,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, use_cache=True, torch_dtype="float32")
small = dict(base, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, vocab_size=101)


def family(kind, **fields):
    name = {"llama": "Llama", "mistral": "Mistral", "granite": "Granite", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind]
    return dict(architectures=[name + "ForCausalLM"], model_type=kind, **fields)


# name → (config.json as published checkpoints write it, storage type of the weights, shard size)
MODELS = {
    "llama": (family("llama", **base, rope_theta=10000.0, rope_scaling=None, attention_bias=False, mlp_bias=False),
              "float32", None),
    "llama_tied_bias": (family("llama", **{**base, "intermediate_size": 104, "tie_word_embeddings": True, "head_dim": 24,
                                           "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "torch_dtype": "bfloat16"},
                               rope_theta=10000.0, attention_bias=True, mlp_bias=True), "bfloat16", None),
    "llama_bf16": (family("llama", **{**base, "intermediate_size": 160, "torch_dtype": "bfloat16"}, rope_theta=5e5),
                   "bfloat16", None),
    "llama_sharded": (family("llama", **{**small, "torch_dtype": "float16"}, rope_theta=10000.0), "float16", "16KB"),
    "llama3rope": (family("llama", **{**base, "intermediate_size": 160, "eos_token_id": [2, 5, 7], "num_hidden_layers": 2},
                          rope_theta=500000.0,
                          rope_scaling=dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                            original_max_position_embeddings=16, rope_type="llama3")), "float32", None),
    "llama_linear": (family("llama", **small, rope_theta=10000.0, rope_scaling=dict(type="linear", factor=4.0)),
                     "float32", None),
    "llama_dynamic": (family("llama", **{**small, "max_position_embeddings": 16}, rope_theta=10000.0,
                             rope_scaling=dict(rope_type="dynamic", factor=2.0)), "float32", None),
    "llama_yarn": (family("llama", **small, rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=8.0, original_max_position_embeddings=16, beta_fast=4.0,
        beta_slow=1.0)), "float32", None),
    "llama_yarn_factor": (family("llama", **small, rope_theta=1000.0, rope_scaling=dict(
        rope_type="yarn", factor=4.0, original_max_position_embeddings=32, attention_factor=1.25, truncate=False)),
        "float32", None),
    "mistral": (family("mistral", **{**base, "hidden_size": 48, "intermediate_size": 104}, head_dim=16,
                       rope_theta=1e6, sliding_window=8), "float32", None),
    "mistral_full": (family("mistral", **{**small, "torch_dtype": "bfloat16"}, rope_theta=1e6, sliding_window=None),
                     "bfloat16", None),
    "granite": (family("granite", **{**base, "intermediate_size": 160, "tie_word_embeddings": True,
                                     "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0},
                       rope_theta=1e7, rope_scaling=None, attention_bias=False, mlp_bias=False,
                       embedding_multiplier=1.5, attention_multiplier=0.4, residual_multiplier=0.37,
                       logits_scaling=0.45), "float32", None),
    "qwen2": (family("qwen2", **{**base, "intermediate_size": 104, "tie_word_embeddings": True, "rms_norm_eps": 1e-6},
                     rope_theta=1e6, use_sliding_window=False, sliding_window=8, max_window_layers=3), "float32", None),
    "qwen2_window": (family("qwen2", **small, rope_theta=1e6, use_sliding_window=True, sliding_window=6,
                            max_window_layers=1), "float32", None),
    "qwen3": (family("qwen3", **{**base, "intermediate_size": 104, "rms_norm_eps": 1e-6}, head_dim=32, rope_theta=1e6,
                     rope_scaling=None, attention_bias=False, use_sliding_window=False, sliding_window=None),
              "float32", None),
}


def randomise(model, seed):
    """Weights for which attention and logits are neither flat nor saturated: every layer matters in every output."""
    g = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        x = torch.randn(p.shape, generator=g)
        if "norm" in name:
            p.data = 1 + 0.2 * x
        elif name.endswith("bias"):
            p.data = 0.3 * x
        elif "embed" in name:
            p.data = (0.12 if model.config.model_type == "granite" else 0.35) * x  # Granite multiplies it again
        else:
            p.data = x * (1.3 / math.sqrt(p.shape[-1]))


def forward64(model, ids):
    """The same forward pass in float64 (see common.in_double)."""
    module = importlib.import_module(type(model).__module__)
    module.torch, kept = in_double(), module.torch
    try:
        return copy.deepcopy(model).double()(torch.tensor([ids])).logits[0]
    finally:
        module.torch = kept


@torch.no_grad()
def make(name):
    config, storage, shard = MODELS[name]
    config = dict(config)
    seed = 1000 + sorted(MODELS).index(name) + {"llama_yarn": 100}.get(name, 0)  # 100: without near-ties
    to = ROOT / name
    shutil.rmtree(to, ignore_errors=True)
    write_json(to / "config.json", config)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(to), attn_implementation="eager")
    randomise(model, seed)
    model = model.to(getattr(torch, storage))
    if shard:  # config.json, shards and index exactly as this version of transformers writes them
        model.save_pretrained(to, max_shard_size=shard)
    else:
        tied = config["tie_word_embeddings"]
        save_file({k: v.clone() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")},
                  str(to / "model.safetensors"), {"format": "pt"})
    generation = dict(bos_token_id=config["bos_token_id"], eos_token_id=config["eos_token_id"])
    if name in ("qwen2", "llama3rope"):  # more stop tokens here than in config.json: a loader unites them
        generation["eos_token_id"] = [2, 3]
    write_json(to / "generation_config.json", generation)

    model = AutoModelForCausalLM.from_pretrained(to, dtype=torch.float32, attn_implementation="eager").eval()
    g = torch.Generator().manual_seed(seed + 500)
    sequences = [torch.randint(8, config["vocab_size"], (n,), generator=g).tolist() for n in LENGTHS]
    tensors, floor, spread, margin = {}, 0.0, 0.0, 9.0
    record = dict(made_with=versions("torch", "transformers", "safetensors"), seed=seed, sequences=[])
    for i, ids in enumerate(sequences):
        logits = model(torch.tensor([ids])).logits[0]
        logits64 = forward64(model, ids)
        tensors[f"ids.{i}"], tensors[f"logits.{i}"] = torch.tensor(ids), logits
        floor = max(floor, ((logits - logits64).abs().max() / logits64.abs().max()).item())
        spread = max(spread, logits.std(-1).mean().item())
        greedy = model.generate(torch.tensor([ids]), max_new_tokens=20, min_new_tokens=20, do_sample=False,
                                use_cache=True, eos_token_id=None, pad_token_id=0,
                                return_dict_in_generate=True, output_logits=True)
        top = torch.stack(greedy.logits)[:, 0].topk(2).values
        margin = min(margin, (top[:, 0] - top[:, 1]).min().item())
        entry = dict(ids=ids, greedy=greedy.sequences[0, len(ids):].tolist(),
                     greedy_margin=(top[:, 0] - top[:, 1]).min().item())
        if len(ids) > 1:
            loss = torch.nn.functional.cross_entropy(logits64[:-1], torch.tensor(ids[1:])).item()
            entry.update(loss=loss, perplexity=math.exp(loss))
        record["sequences"].append(entry)
    record["float32_error"] = floor
    write_json(to / "expected.json", record, compact=True)
    write_tensors(to / "expected.safetensors", tensors)
    size = sum(f.stat().st_size for f in to.iterdir()) // 1024
    print(f"{name:18} {size:5} KB   |f32-f64|/max {floor:.1e}   std of logits {spread:.2f}   least margin {margin:.1e}")
    assert margin > 1e-4, "a greedy choice is a tie within rounding: take another seed"


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
