#!/usr/bin/env python3
"""Averages the weights of two checkpoints: average.py --weights DIR --other DIR --share 0.8 --out DIR

The share is that of --weights; a directory is one that train.py (bf16 shards) or quantise.py (NF4) has written. Writes one bf16 shard.
"""
import argparse, json, pathlib

import safetensors.torch

import nf4


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--other", type=pathlib.Path, required=True)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    a, b = nf4.read(options.weights), nf4.read(options.other)
    mean = {name: (options.share * w + (1 - options.share) * b[name]).bfloat16() for name, w in a.items()}
    file = "model-00001-of-00001.safetensors"
    safetensors.torch.save_file(mean, options.out / file, metadata={"format": "pt"})
    (options.out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {name: file for name in mean}}))


if __name__ == "__main__":
    main()
