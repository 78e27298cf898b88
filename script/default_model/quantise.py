#!/usr/bin/env python3
"""bf16 shards -> the shipped directory in bitsandbytes' NF4 form with double quantisation, checked after writing.

    quantise.py --weights DIR --tokenizer DIR --out models/NAME-instruct --base models/NAME-base [--corpus corpus.jsonl.xz --report FILE]

train.py has written the base in this form already; it gets the same configuration beside it.

The linear layers of the decoder are quantised; embedding (which is the output layer too) and norms stay bf16. The check loads the
directory with transformers and bitsandbytes on the CPU and compares its logits with those of the dequantised weights.
"""
import argparse, json, math, pathlib, shutil, tempfile

import safetensors.torch
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig

import batches, evaluate, nf4, samples
from model import shape


def gather(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    return {k: v for file in sorted(set(index.values())) for k, v in safetensors.torch.load_file(folder / file).items()}


def loss(model, rows):
    """Mean loss per token over rows [n, 2048]; every row starts a new context."""
    total = 0.0
    with torch.no_grad():
        for row in rows:
            total += model(input_ids=row[None], labels=row[None]).loss.item()
    return total / len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--base", type=pathlib.Path, help="folder for the base model")
    parser.add_argument("--corpus", type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    token = tokenizer.token_to_id
    weights = gather(options.weights)
    dense = evaluate.build({k: v.float() for k, v in weights.items()}, shape).bfloat16()
    dense.config.update({"bos_token_id": token("<|begin_of_text|>"), "eos_token_id": token("<|im_end|>"), "pad_token_id": token("<|pad|>")})
    dense.generation_config = GenerationConfig(bos_token_id=token("<|begin_of_text|>"), eos_token_id=[token("<|im_end|>"), token("<|endoftext|>")],
                                               pad_token_id=token("<|pad|>"), do_sample=False, max_new_tokens=200)
    with tempfile.TemporaryDirectory() as folder:
        dense.save_pretrained(folder)
        wanted = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                    bnb_4bit_compute_dtype=torch.bfloat16, llm_int8_skip_modules=["lm_head"])
        small = AutoModelForCausalLM.from_pretrained(folder, quantization_config=wanted, dtype=torch.bfloat16, device_map={"": "cpu"})
    options.out.mkdir(parents=True, exist_ok=True)
    small.save_pretrained(options.out)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(options.tokenizer / file, options.out / file)
    # The same bytes as the training machine wrote for the base, which has no bitsandbytes.
    safetensors.torch.save_file(nf4.quantised(weights), options.out / "model.safetensors", metadata={"format": "pt"})
    if options.base:
        options.base.mkdir(parents=True, exist_ok=True)
        for file in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(options.out / file, options.base / file)
        shutil.copy(options.weights / "base.safetensors", options.base / "model.safetensors")
    for file in [*options.out.iterdir(), *(options.base.iterdir() if options.base else ())]:
        file.chmod(0o644)      # safetensors writes through a private temporary file

    # What was written must load, and must be the weights that training rounded.
    loaded = AutoModelForCausalLM.from_pretrained(options.out, device_map={"": "cpu"}, dtype=torch.bfloat16).eval()
    rounded = {k: nf4.round_trip(v[None])[0] if v.dim() == 2 and "embed" not in k else v.float() for k, v in weights.items()}
    exact = evaluate.build(rounded, shape).eval()
    ids = torch.tensor([tokenizer.encode("A transaction is a group of statements that the database carries out completely or not at all.").ids])
    with torch.no_grad():
        a, b = loaded(ids).logits.float(), exact(ids).logits
    if options.base:
        AutoModelForCausalLM.from_pretrained(options.base, device_map={"": "cpu"}, dtype=torch.bfloat16)
    report = {"parameters": sum(v.numel() for v in weights.values()), "bytes": sum(f.stat().st_size for f in options.out.iterdir()),
              "logits_relative_error_bf16_compute": ((a - b).norm() / b.norm()).item(),
              "top1_agreement": (a.argmax(-1) == b.argmax(-1)).float().mean().item()}
    # The file's tensors, not the loaded modules': bitsandbytes may lay those out anew for the processor.
    import bitsandbytes.functional as bnb
    stored, worst = safetensors.torch.load_file(options.out / "model.safetensors"), 0.0
    for name in (n for n in stored if n + ".absmax" in stored):
        state = bnb.QuantState.from_dict({k: v for k, v in stored.items() if k.startswith(name + ".")}, device="cpu")
        back = bnb.dequantize_4bit(stored[name], state).float()
        worst = max(worst, (back.reshape(-1) - rounded[name].reshape(-1)).abs().max().item() / rounded[name].abs().max().item())
    report["largest_weight_difference"] = worst
    if options.corpus:
        stream = torch.from_numpy(batches.text_stream(tokenizer, samples.read(options.corpus, "valid"), 1)[:40 * 2048].astype("int64")).reshape(-1, 2048)
        for name, model in (("bf16", evaluate.build({k: v.float() for k, v in weights.items()}, shape).eval()), ("nf4", exact)):
            value = loss(model, stream)
            report[f"text_loss_{name}"], report[f"text_perplexity_{name}"] = value, math.exp(value)
    print(json.dumps(report, indent=1))
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
