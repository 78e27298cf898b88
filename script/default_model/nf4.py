"""NF4 with double quantisation as bitsandbytes stores it, on stacks of weights: training sees the rounding that shipping applies.

QLoRA (Dettmers et al. 2023, arXiv 2305.14314), sections 3 and 4; 8-bit dynamic map of arXiv 2110.02861.
"""
import json

import safetensors.torch
import torch

code = torch.tensor([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                     -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                     0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0])
threshold = (code[1:] + code[:-1]) / 2


def dynamic_map():
    """The signed 8-bit map: 7 decades, each with 2^i linear steps; 256 values from -0.993 to 1."""
    values = [0.0, 1.0]
    for i in range(7):
        edge = torch.linspace(0.1, 1, 2 ** i + 1)
        mean = (edge[1:] + edge[:-1]) / 2 * 10.0 ** (i - 6)
        values += mean.tolist() + (-mean).tolist()
    return torch.tensor(sorted(values))


def round_trip(weight):
    """NF4-quantises and restores each matrix of a stack: weight [n, rows, cols] -> the same shape, fp32; rows·cols a multiple of 64."""
    n = weight.shape[0]
    block = weight.float().reshape(n, -1, 64)
    absmax = block.abs().amax(-1)
    index = torch.bucketize(block / absmax.clamp_min(1e-30)[..., None], threshold.to(weight.device))
    offset = absmax.mean(-1, keepdim=True)
    centred = torch.nn.functional.pad(absmax - offset, (0, -absmax.shape[1] % 256)).reshape(n, -1, 256)
    nested = centred.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    table = dynamic_map().to(weight.device)
    coded = torch.bucketize(centred / nested, (table[1:] + table[:-1]) / 2)
    absmax = (table[coded] * nested).reshape(n, -1)[:, :absmax.shape[1]] + offset
    return (code.to(weight.device)[index] * absmax[..., None]).reshape(weight.shape)


def quantise(name, weight):
    """The tensors that bitsandbytes stores for a matrix [rows, cols]: packed codes, nested scales and the quantisation state as JSON bytes."""
    block = weight.float().reshape(-1, 64)
    absmax = block.abs().amax(-1)
    index = torch.bucketize(block / absmax.clamp_min(1e-30)[:, None], threshold).reshape(-1).to(torch.uint8)
    offset = absmax.mean()
    centred = torch.nn.functional.pad(absmax - offset, (0, -len(absmax) % 256)).reshape(-1, 256)
    nested = centred.abs().amax(-1)
    table = dynamic_map()
    coded = torch.bucketize(centred / nested.clamp_min(1e-30)[:, None], (table[1:] + table[:-1]) / 2).reshape(-1)[:len(absmax)].to(torch.uint8)
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": list(weight.shape), "nested_blocksize": 256, "nested_dtype": "float32",
             "nested_offset": offset.item()}
    return {name: (index[0::2] << 4 | index[1::2])[:, None], name + ".absmax": coded, name + ".nested_absmax": nested, name + ".nested_quant_map": table,
            name + ".quant_map": code.clone(), name + ".quant_state.bitsandbytes__nf4": torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)}


def quantised(weights):
    """A state dict in that form: decoder matrices NF4, embedding and norms bf16."""
    out = {}
    for name, w in weights.items():
        out |= quantise(name, w.cpu()) if w.dim() == 2 and "embed" not in name else {name: w.bfloat16().cpu()}
    return out


def restored(stored):
    """The state dict as fp32 from that form: what a second stage of training goes on from."""
    out = {}
    for name, w in stored.items():
        if name + ".absmax" in stored:
            scale = stored[name + ".nested_quant_map"][stored[name + ".absmax"].long()]
            nested = stored[name + ".nested_absmax"].repeat_interleave(256)[:len(scale)]
            state = json.loads(bytes(stored[name + ".quant_state.bitsandbytes__nf4"].tolist()))
            index = torch.stack((w[:, 0] >> 4, w[:, 0] & 15), 1).reshape(-1, 64).long()
            out[name] = (code[index] * (scale * nested + state["nested_offset"])[:, None]).reshape(state["shape"])
        elif not any(part in name for part in (".absmax", ".nested_", ".quant_")):
            out[name] = w.float()
    return out


def read(folder):
    """The weights of a directory that quantise.py (NF4) or train.py (bf16 shards) has written, as fp32."""
    one = folder / "model.safetensors"
    files = [one] if one.exists() else sorted(folder.glob("model-*-of-*.safetensors"))
    return restored({k: v for file in files for k, v in safetensors.torch.load_file(file).items()})
