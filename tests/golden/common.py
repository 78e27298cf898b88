"""What the scripts beside this file share: seeds, versions, and one way to write JSON, JSON lines and safetensors."""
import json
import os
import pathlib
from importlib.metadata import version

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
from safetensors.torch import save_file

from transformers.utils import logging as _logging

_logging.disable_progress_bar()
_logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parent
torch.set_num_threads(1)  # one thread: sums in one order, files that do not change from run to run


def versions(*packages):
    """Name → version of the installed packages, for the header of a golden file."""
    return {p: version(p).split("+")[0] for p in packages}


def write_json(path, value, compact=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) if compact
            else json.dumps(value, ensure_ascii=False, indent=1))
    path.write_text(text + "\n", encoding="utf-8")


def write_lines(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for v in values:
            f.write(json.dumps(v, ensure_ascii=False, separators=(",", ":")) + "\n")


def write_tensors(path, tensors, metadata=None):
    """safetensors, contiguous copies so that no two names share storage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, str(path), metadata)
    path.chmod(0o644)


class in_double:
    """Stands in for the module `torch` inside a transformers model file, so that what it forces to float32 (RMSNorm,
    softmax) is done in float64 too; the rotary angles stay float32 as in the model."""

    def __getattr__(self, name):
        return torch.float64 if name == "float32" else getattr(torch, name)
