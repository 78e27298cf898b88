"""Reads what smalti wrote with the reference implementations, and prints how far the logits are from given ones.

    python tests/golden/check_written.py MODEL_DIR EXPECTED.safetensors             a model: dense, NF4 or INT8
    python tests/golden/check_written.py ADAPTER_DIR EXPECTED.safetensors --base DIR   a PEFT adapter on a base model

EXPECTED holds ids.i I64 (n) and logits.i F32 (n, vocab). NF4 and INT8 weights are decoded to float32 first, so that the
numbers speak of the file and not of a kernel; --native runs bitsandbytes' own forward pass instead."""
import argparse
import pathlib
import sys

import common  # noqa: F401  (one thread, offline, quiet)
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM


def decoded(model, directory):
    """The model with every bitsandbytes layer replaced by a float32 one."""
    import bitsandbytes as bnb
    import bitsandbytes.functional as F
    config = AutoConfig.from_pretrained(directory)
    if not hasattr(config, "quantization_config"):
        return model
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for name, p in plain.named_parameters():
        layer, _, leaf = name.rpartition(".")
        module = model.get_submodule(layer)
        value = getattr(module, leaf)
        if leaf == "weight" and isinstance(module, bnb.nn.Linear4bit):
            value = F.dequantize_4bit(value.data, value.quant_state)
        elif leaf == "weight" and isinstance(module, bnb.nn.Linear8bitLt):
            value = F.int8_vectorwise_dequant(value.data, module.state.SCB if value.SCB is None else value.SCB)
        p.data = value.data.float()
    return plain


@torch.no_grad()
def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory")
    arguments.add_argument("expected")
    arguments.add_argument("--base", help="the model under an adapter")
    arguments.add_argument("--native", action="store_true", help="bitsandbytes' own forward pass")
    arguments.add_argument("--tolerance", type=float, default=1e-4, help="largest relative error that still succeeds")
    a = arguments.parse_args()
    for path in (a.directory, a.expected, a.base):
        if path and not pathlib.Path(path).exists():
            arguments.error(f"{path}: no such file or directory")
    source = a.base or a.directory
    model = AutoModelForCausalLM.from_pretrained(source, device_map="cpu", attn_implementation="eager", dtype=torch.float32)
    if not a.native:
        model = decoded(model, source)
    if a.base:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, a.directory)
    model.eval()
    expected, worst = load_file(a.expected), 0.0
    for i in range(sum(k.startswith("ids.") for k in expected)):
        logits = model(expected[f"ids.{i}"][None].long()).logits[0].float()
        wanted = expected[f"logits.{i}"]
        error = ((logits - wanted).abs().max() / wanted.abs().max()).item()
        same = (logits.argmax(-1) == wanted.argmax(-1)).float().mean().item()
        worst = max(worst, error)
        print(f"sequence {i}: {len(wanted)} tokens, largest |difference| / largest |logit| {error:.2e}, same best token {same:.1%}")
    sys.exit(0 if worst <= a.tolerance else 1)


if __name__ == "__main__":
    main()
