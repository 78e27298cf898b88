"""NF4 blocks, double quantisation, dynamic maps, INT8 rows and two quantised models by bitsandbytes. See README.md."""
import copy
import logging
import json
import shutil
import sys

sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parents[1]))
from common import HERE, in_double, torch, versions, write_json, write_tensors
import bitsandbytes as bnb
import bitsandbytes.functional as F
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
import transformers.models.llama.modeling_llama as llama_module

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
ROOT = HERE / "nf4"
MADE_WITH = versions("torch", "bitsandbytes", "transformers")
THRESHOLDS = [-0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544, -0.23460740596055984,
              -0.13791173323988914, -0.045525018125772476, 0.03979014977812767, 0.1202552504837513, 0.2035212516784668,
              0.2920137718319893, 0.3893125355243683, 0.5016634166240692, 0.6427869200706482, 0.8614784181118011]


def extremes(g):
    """Rows of 64 on which naive scaling fails: a lone giant, the largest float, subnormals, zeros, one sign only."""
    w = torch.randn(12, 64, generator=g)
    w[0] *= 1e30
    w[1] *= 1e-30
    w[2, 5] = 3.4028234663852886e38
    w[3] = 0
    w[4] = -0.0
    w[5] = torch.linspace(-1, 1, 64)
    w[6] = -w[6].abs()
    w[7] = 0
    w[7, 63] = 1e-3
    w[8] = 1e-36 * w[8]
    w[9] = 0.25
    w[10] = 127 * w[10].sign()
    return w


def near_thresholds():
    """One block of 64 with absmax 1: every decision threshold, and the floats just below and above it."""
    t = torch.tensor(THRESHOLDS, dtype=torch.float32)
    up, down = torch.nextafter(t, torch.full_like(t, 9)), torch.nextafter(t, torch.full_like(t, -9))
    return torch.cat([torch.tensor([1.0, -1.0, 0.0, 0.5]), down, t, up, torch.zeros(15)]).reshape(1, 64)


def quantised_cases():
    """(name, source, block, nested): what is quantised below."""
    g = torch.Generator().manual_seed(20)
    normal = lambda *shape: 0.05 * torch.randn(*shape, generator=g)
    heavy = torch.randn(8, 256, generator=g) ** 3  # a few large values per block, as in real layers
    yield "one_row", normal(1, 64), 64, False
    yield "plain", normal(5, 128), 64, False
    yield "nested", normal(7, 192), 64, True
    yield "nested_two_blocks", normal(33, 576), 64, True  # 297 scales: a full and a part block of 256
    yield "heavy_tails", heavy, 64, True
    yield "block_32", normal(3, 96), 32, False
    yield "block_128", normal(6, 256), 128, False
    yield "block_128_nested", normal(6, 256), 128, True
    yield "block_256", normal(4, 512), 256, False
    yield "block_4096", normal(4, 2048), 4096, False
    yield "block_4096_nested", normal(4, 2048), 4096, True
    yield "k_not_of_block", normal(9, 96), 64, False  # 864 elements: blocks cross rows, the last one is short
    yield "odd_count", normal(3, 7), 64, False  # 21 elements: the last low nibble is padding
    yield "extremes", extremes(g), 64, False
    yield "extremes_nested", 1e-2 * torch.cat([normal(4, 64), torch.zeros(2, 64), 30 * normal(2, 64)]), 64, True
    yield "near_thresholds", near_thresholds(), 64, False
    yield "bfloat16", normal(5, 128).bfloat16(), 64, True
    yield "float16", normal(5, 128).half(), 64, False


def make_blocks():
    tensors, cases = {}, []
    for name, w, block, nested in quantised_cases():
        code, state = F.quantize_4bit(w.clone(), blocksize=block, compress_statistics=nested, quant_type="nf4")
        tensors[f"{name}.weight"] = code
        for key, value in state.as_dict(packed=True).items():
            tensors[f"{name}.weight.{key}"] = value
        absmax = state.absmax
        if nested:
            absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
        plain = copy.copy(state)
        plain.dtype, plain.absmax, plain.nested, plain.state2 = torch.float32, absmax.float(), False, None
        half = copy.copy(plain)
        half.dtype = torch.bfloat16
        tensors[f"{name}.source"] = w
        tensors[f"{name}.scale"] = absmax.float()  # per block, after the second level
        tensors[f"{name}.dequantised"] = F.dequantize_4bit(code, plain).reshape(w.shape)
        tensors[f"{name}.dequantised_bf16"] = F.dequantize_4bit(code, half).reshape(w.shape)
        own = F.dequantize_4bit(code, state).reshape(w.shape)  # to the dtype noted in the file
        assert own.dtype == w.dtype and torch.equal(own, tensors[f"{name}.dequantised"].to(w.dtype)), name
        cases.append(dict(name=name, shape=list(w.shape), block=block, nested=nested, dtype=str(w.dtype)[6:]))
    write_tensors(ROOT / "blocks.safetensors", tensors)
    write_json(ROOT / "blocks.json", dict(made_with=MADE_WITH, cases=cases))


def make_maps():
    bits = lambda t: [f"{v & 0xffffffff:08x}" for v in t.view(torch.int32).tolist()]
    maps = {"signed": F.create_dynamic_map(signed=True), "unsigned": F.create_dynamic_map(signed=False),
            "nf4": F.get_4bit_type("nf4", device="cpu")}
    write_json(ROOT / "maps.json", dict(made_with=MADE_WITH, **{k: v.tolist() for k, v in maps.items()},
                                        bits={k: bits(v) for k, v in maps.items()}), compact=True)


def make_rows():
    """INT8: rows quantised by absmax, and a layer's state dict as Linear8bitLt saves it."""
    g = torch.Generator().manual_seed(21)
    cases = {"plain": 0.05 * torch.randn(9, 70, generator=g), "one": torch.tensor([[-3.0]]),
             "extremes": torch.cat([1e30 * torch.randn(1, 33, generator=g), 1e-30 * torch.randn(1, 33, generator=g),
                                    torch.linspace(-1, 1, 33)[None], torch.full((1, 33), 0.5)]),
             "halves": torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]])}  # ties go to even
    tensors = {}
    for name, w in cases.items():
        q, scale, _ = F.int8_vectorwise_quant(w.clone())
        tensors.update({f"{name}.source": w, f"{name}.weight": q, f"{name}.SCB": scale,
                        f"{name}.dequantised": F.int8_vectorwise_dequant(q, scale)})
    layer = bnb.nn.Linear8bitLt(48, 20, bias=True, has_fp16_weights=False)
    source = torch.nn.Linear(48, 20)
    source.weight.data, source.bias.data = 0.1 * torch.randn(20, 48, generator=g), torch.randn(20, generator=g)
    layer.load_state_dict(source.state_dict())
    layer = layer.to("cpu")
    for key, value in layer.state_dict().items():
        tensors[f"layer.{key}"] = value
    assert layer.state_dict()["weight"].dtype == torch.int8, layer.state_dict()
    tensors["layer.source"] = source.weight
    write_tensors(ROOT / "rows.safetensors", tensors)


def make_tokens():
    """LLM.int8: activations quantised token by token, the columns of outliers, and a product with both."""
    g = torch.Generator().manual_seed(22)
    plain = torch.randn(5, 70, generator=g)
    some = torch.randn(9, 96, generator=g)
    some[2, 5], some[7, 5], some[3, 40], some[8, 95], some[0, 17] = 6.0, -8.5, 31.0, -6.0, 5.996
    ties = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5], [5.0, 1.0, -5.0, 2.5, 0.25, 0, 0, 1.0]]) / 32
    cases = {"plain": (plain, 6.0), "some": (some, 6.0), "without": (some, 0.0), "all": (some[:4] + 20, 6.0), "one_row": (some[2:3], 6.0), "ties": (ties, 6.0)}
    tensors = {}
    for name, (x, threshold) in cases.items():
        x = x.half()
        code, scale, outliers = F.int8_vectorwise_quant(x.clone(), threshold=threshold)
        outliers = torch.empty(0, dtype=torch.int64) if outliers is None else outliers
        w, row_scale, _ = F.int8_vectorwise_quant(0.1 * torch.randn(20, x.shape[1], generator=g))
        y, _ = torch.ops.bitsandbytes.int8_mixed_scaled_mm(x.float(), code, w, scale, row_scale, outliers)  # in fp32, so that its own roundings are small
        tensors.update({f"{name}.x": x, f"{name}.threshold": torch.tensor([threshold]), f"{name}.code": code, f"{name}.scale": scale, f"{name}.outliers": outliers,
                        f"{name}.weight": w, f"{name}.SCB": row_scale, f"{name}.y": y})
    write_tensors(ROOT / "tokens.safetensors", tensors)


@torch.no_grad()
def make_model(name, quantisation, weight_of):
    """models/llama quantised by transformers; logits from its weights decoded to float32, so from no kernel of theirs."""
    to = ROOT / name
    shutil.rmtree(to, ignore_errors=True)
    source = HERE / "models" / "llama"
    model = AutoModelForCausalLM.from_pretrained(source, quantization_config=quantisation, dtype=torch.float32,
                                                 device_map="cpu", attn_implementation="eager")
    model.save_pretrained(to)
    config = AutoConfig.from_pretrained(to)
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    weights = {}
    reloaded = AutoModelForCausalLM.from_pretrained(to, device_map="cpu")
    for key, p in plain.state_dict().items():
        layer = reloaded.get_submodule(key.removesuffix(".weight"))
        weights[key] = weight_of(layer).float() if "proj" in key else p.copy_(layer.weight)
    plain.load_state_dict(weights)
    tensors, own = {}, {}
    for i, sequence in enumerate(json.loads((source / "expected.json").read_text())["sequences"]):
        ids = torch.tensor([sequence["ids"]])
        tensors[f"ids.{i}"], tensors[f"logits.{i}"] = ids[0], plain(ids).logits[0]
        own[f"ids.{i}"], own[f"logits.{i}"] = ids[0], reloaded(ids).logits[0].float()
        native = own[f"logits.{i}"]
        print(f"{name} sequence {i}: |own kernels - dequantised| {(native - tensors[f'logits.{i}']).abs().max():.1e}")
        llama_module.torch = in_double()
        double = copy.deepcopy(plain).double()(ids).logits[0]
        llama_module.torch = torch
        assert (double - tensors[f"logits.{i}"]).abs().max() < 1e-4
    write_tensors(to / "expected.safetensors", tensors)
    if "int8" in name:
        write_tensors(to / "own.safetensors", own)


if __name__ == "__main__":
    make_blocks()
    make_maps()
    make_rows()
    make_tokens()
    make_model("llama_nf4", BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                               bnb_4bit_compute_dtype=torch.float32),
               lambda layer: F.dequantize_4bit(layer.weight.data, layer.weight.quant_state))
    make_model("llama_int8", BitsAndBytesConfig(load_in_8bit=True),
               lambda layer: F.int8_vectorwise_dequant(layer.weight.data, layer.state.SCB if layer.state.SCB is not None
                                                       else layer.weight.SCB))
