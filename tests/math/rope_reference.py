"""Writes rope_reference.inc: frequencies of transformers' ROPE_INIT_FUNCTIONS.  python tests/math/rope_reference.py > tests/math/rope_reference.inc"""
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

CASES = [("linear", 64, 1e4, 2048, {"rope_type": "linear", "factor": 4.0}, 2048),
         ("dynamic, within", 64, 1e4, 2048, {"rope_type": "dynamic", "factor": 2.0}, 1000),
         ("dynamic, beyond", 64, 1e4, 2048, {"rope_type": "dynamic", "factor": 2.0}, 5000),
         ("llama3", 128, 5e5, 131072, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, 131072),
         ("yarn", 128, 1e6, 131072, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
         ("yarn, mscale", 64, 1e4, 163840, {"rope_type": "yarn", "factor": 40.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.5, "original_max_position_embeddings": 4096}, 163840)]
print(f"// Written by rope_reference.py from transformers {transformers.__version__}.")
print("struct rope_case {\n  char const* name;\n  int dim;\n  double theta;\n  rope_scaling scaling;\n  int length;\n  double frequency[4];  // first, two between, last\n  double magnitude;\n};")
print("rope_case const rope_reference[] = {")
for name, dim, theta, positions, p, length in CASES:
    c = LlamaConfig(hidden_size=dim, num_attention_heads=1, head_dim=dim, max_position_embeddings=positions, rope_parameters=dict(p, rope_theta=theta))
    f, magnitude = ROPE_INIT_FUNCTIONS[p["rope_type"]](c, "cpu", seq_len=length)
    f = f.double().tolist()
    fields = [f".type = rope_scaling::kind::{p['rope_type']}", f".factor = {p['factor']}f",
              f".original_positions = {p.get('original_max_position_embeddings', positions)}"]
    for key in ("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"):
        if key in p:
            fields.append(f".{key} = {float(p[key])}f")
    picked = ", ".join(repr(f[i * (dim // 2 - 1) // 3]) for i in range(4))
    print(f'    {{"{name}", {dim}, {theta}, {{{", ".join(fields)}}}, {length}, {{{picked}}}, {float(magnitude)!r}}},')
print("};")
