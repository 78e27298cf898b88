"""LoRA adapters written by peft on ../models/llama, and the logits with them. See README.md."""
import json
import math
import os
import shutil
import sys

sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parents[1]))
from common import HERE, torch, versions, write_json, write_tensors
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

os.chdir(HERE.parents[1])  # adapter_config.json names its base by a path inside the repository
ROOT, BASE = HERE / "peft", HERE / "models" / "llama"
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "all_linear": dict(r=8, lora_alpha=16, target_modules=LINEAR),
    "query_value": dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    "rslora": dict(r=8, lora_alpha=16, target_modules=LINEAR, use_rslora=True),
    "rank_pattern": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"],
                         rank_pattern={"down_proj": 12, "layers.1.self_attn.q_proj": 2}, alpha_pattern={"v_proj": 20}),
    "odd_rank": dict(r=3, lora_alpha=5, target_modules=["o_proj", "up_proj"], layers_to_transform=[0, 2]),
}
SEQUENCES = [s["ids"] for s in json.loads((BASE / "expected.json").read_text())["sequences"]]


def base():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager").eval()


def randomise(model, seed):
    """A and B both away from zero: B is zero in a new adapter, which would make every test pass."""
    g = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        if "lora_A" in name:
            p.data = torch.randn(p.shape, generator=g) / math.sqrt(p.shape[1])
        elif "lora_B" in name:
            p.data = 0.25 * torch.randn(p.shape, generator=g) / math.sqrt(p.shape[1])


def logits(model):
    return [model(torch.tensor([ids])).logits[0] for ids in SEQUENCES]


@torch.no_grad()
def main():
    plain = logits(base())
    for n, (name, options) in enumerate(ADAPTERS.items()):
        to = ROOT / name
        shutil.rmtree(to, ignore_errors=True)
        model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.05, bias="none", **options)).eval()
        randomise(model, 40 + n)
        model.peft_config["default"].base_model_name_or_path = "tests/golden/models/llama"
        model.save_pretrained(to)
        config = json.loads((to / "adapter_config.json").read_text())
        config["target_modules"] = sorted(config["target_modules"])  # a set: peft writes it in any order
        write_json(to / "adapter_config.json", config)
        (to / "adapter_model.safetensors").chmod(0o644)
        (to / "README.md").unlink(missing_ok=True)  # the empty model card
        reloaded = PeftModel.from_pretrained(base(), to).eval()
        tensors = {f"logits.{i}": x for i, x in enumerate(logits(reloaded))}
        scales = {k.removeprefix("base_model.model."): m.scaling["default"] for k, m in reloaded.named_modules() if hasattr(m, "lora_A")}
        merged = reloaded.merge_and_unload()
        merged_logits = logits(merged)
        tensors.update({f"ids.{i}": torch.tensor(ids) for i, ids in enumerate(SEQUENCES)})
        tensors.update({f"merged_logits.{i}": x for i, x in enumerate(merged_logits[:2])})  # the short ones: size
        state, before = merged.state_dict(), base().state_dict()
        for key in ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.o_proj.weight", "model.layers.2.mlp.down_proj.weight"):
            if not torch.equal(state[key], before[key]):
                tensors["merged." + key] = state[key]
        write_tensors(to / "expected.safetensors", tensors)
        write_json(to / "expected.json", dict(made_with=versions("torch", "transformers", "peft"), scale=scales))
        effect = max((tensors[f"logits.{i}"] - plain[i]).abs().max().item() for i in range(3))
        apart = max((tensors[f"logits.{i}"] - merged_logits[i]).abs().max().item() for i in range(3))
        print(f"{name:14} {len(scales):3} modules, changes logits by {effect:.2f}, merged differs by {apart:.1e}")

    # Two adapters at once: both active, their contributions added (domain first, instructions second).
    model = PeftModel.from_pretrained(base(), ROOT / "query_value", adapter_name="first")
    model.load_adapter(ROOT / "rank_pattern", adapter_name="second")
    model.base_model.set_adapter(["first", "second"])
    model.eval()
    both = logits(model)
    write_tensors(ROOT / "stacked.safetensors", {f"logits.{i}": x for i, x in enumerate(both)}
                  | {f"ids.{i}": torch.tensor(ids) for i, ids in enumerate(SEQUENCES)})
    model.base_model.set_adapter(["second"])
    print("stacked: away from the second alone by", max((a - b).abs().max().item() for a, b in zip(both, logits(model))))


if __name__ == "__main__":
    main()
