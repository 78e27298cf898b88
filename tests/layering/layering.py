#!/usr/bin/env python3
"""The include graph points downhill, and each layer uses only what it may: docs/design.md, "Layers".

usage: layering.py [INCLUDE/smalti]
"""
import pathlib
import re
import sys

LAYER = {"core": 0, "simd": 1, "cuda": 1, "io": 1, "math": 2, "quant": 2, "text": 2, "attention": 3, "gemm": 3,
         "decoder": 4, "encoder": 4, "retrieval": 4, "rag": 5, "train": 5}
# smalti::smalti and smalti::cuda need no third-party library, so these may not reach io/ or text/ although those lie lower.
KERNELS = {"core", "simd", "cuda", "math", "quant", "attention", "gemm"}
# Third-party headers, and the layers that may include them. Public headers at the top go through the layers.
ALLOWED = {"nlohmann/": {"io", "text", "decoder", "encoder", "retrieval", "rag", "train"}, "pcre2": {"text"},
           "utf8proc": {"text", "retrieval"}, "hnswlib/": {"retrieval"}, "immintrin.h": {"simd"}}
FOREIGN = re.compile(r"nlohmann/|pcre2|utf8proc|hnswlib/|immintrin\.h|CLI/|catch2/|benchmark/|boost/|Eigen/")
DEVICE = re.compile(r"^(cuda|cub/|thrust/|cublas|nccl|cute/)")


def height(path, root, seen=frozenset()):
    """The layer of a file; a public header stands on the highest layer that it includes."""
    here = path.relative_to(root).parts
    if len(here) > 1:
        return LAYER.get(here[0], -1)
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M) if path not in seen else []
    below = [(path.parent / name).resolve() for name in names]
    return max((height(b, root, seen | {path}) for b in below if b.is_file()), default=-1)


def complaints(root):
    for path in sorted(root.rglob("*")):
        if path.suffix not in {".hpp", ".cuh", ".inc"}:
            continue
        name, here = path.relative_to(root), path.relative_to(root).parts[0]
        public = len(name.parts) == 1
        if not public and here not in LAYER:
            yield f"{name}: a folder that the table of layers does not have"
            continue
        text = path.read_text()
        for quoted, angled in re.findall(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', text, re.M):
            if angled:
                if angled.startswith("smalti/"):
                    yield f"{name}: includes <{angled}>; relative includes keep a copied tree working"
                for library, layers in ALLOWED.items():
                    if angled.startswith(library) and here not in layers:
                        yield f"{name}: <{angled}> is not for {here}/"
                if FOREIGN.match(angled) and not any(angled.startswith(library) for library in ALLOWED):
                    yield f"{name}: <{angled}> is not for the library"
                if path.suffix == ".hpp" and DEVICE.match(angled):
                    yield f"{name}: <{angled}> needs CUDA; such headers end in .cuh"
                continue
            target = (path.parent / quoted).resolve()
            if not target.is_file():
                yield f"{name}: \"{quoted}\" does not exist"
                continue
            if path.suffix in {".hpp", ".inc"} and target.suffix == ".cuh":
                yield f"{name}: a .hpp never needs nvcc, but includes {quoted}"
            there = target.relative_to(root.resolve()).parts
            if public or there[0] == here:
                continue
            if len(there) == 1:
                if height(target, root.resolve()) >= LAYER[here]:
                    yield f"{name}: layer {LAYER[here]} includes {there[0]}, which stands on layer {height(target, root.resolve())}"
            elif LAYER[there[0]] >= LAYER[here]:
                yield f"{name}: layer {LAYER[here]} includes {'/'.join(there)} of layer {LAYER[there[0]]}"
            elif here in KERNELS and there[0] not in KERNELS:
                yield f"{name}: a kernel layer includes {'/'.join(there)}, which needs third-party libraries"


root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / "include" / "smalti"
found = list(complaints(root))
print("\n".join(found) or "layering: every include points down")
sys.exit(bool(found))
