"""The default model's network: a Llama decoder (RMSNorm, rotate-half RoPE, GQA, SwiGLU, tied embedding) for training on packed rows.

Parameter names and shapes are those of transformers' LlamaForCausalLM, so a state dict moves over unchanged.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

shape = dict(hidden_size=384, intermediate_size=1024, num_hidden_layers=12, num_attention_heads=6, num_key_value_heads=3,
             head_dim=64, vocab_size=8192, rope_theta=10000.0, rms_norm_eps=1e-5, max_position_embeddings=2048)
toy = dict(shape, hidden_size=128, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)


def rope_table(length, shape, device):
    inverse = shape["rope_theta"] ** (-torch.arange(0, shape["head_dim"], 2, device=device).float() / shape["head_dim"])
    angle = torch.outer(torch.arange(length, device=device).float(), inverse)
    angle = torch.cat((angle, angle), -1)
    return angle.cos().bfloat16(), angle.sin().bfloat16()


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat((-high, low), -1) * sin


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.width = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.q_proj = linear(c["hidden_size"], self.heads * self.width)
        self.k_proj = linear(c["hidden_size"], self.kv_heads * self.width)
        self.v_proj = linear(c["hidden_size"], self.kv_heads * self.width)
        self.o_proj = linear(self.heads * self.width, c["hidden_size"])

    def forward(self, x, cos, sin, mask):
        b, s, _ = x.shape
        split = lambda y, n: y.view(b, s, n, self.width).transpose(1, 2)
        q, k = (rotate(split(p(x), n), cos, sin) for p, n in ((self.q_proj, self.heads), (self.k_proj, self.kv_heads)))
        v = split(self.v_proj(x), self.kv_heads)
        if isinstance(mask, torch.Tensor):
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        else:
            y = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, s, -1))


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.gate_proj, self.up_proj = linear(c["hidden_size"], c["intermediate_size"]), linear(c["hidden_size"], c["intermediate_size"])
        self.down_proj = linear(c["intermediate_size"], c["hidden_size"])

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Gate(c)
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])


def weighted_loss(x, norm, embedding, target, weight):
    """Sum over tokens of weight · cross-entropy, and of the weights; x [b, s, hidden], target and weight [b, s]."""
    logits = norm(x) @ embedding.T
    loss = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none")
    return (loss * weight.flatten()).sum(), weight.sum()


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.model, self.head = c, Decoder(c), weighted_loss
        for name, p in self.named_parameters():
            if p.dim() == 2:
                # Residual outputs start small so that twelve layers do not add up to a large stream (GPT-2, section 2.3).
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / (2 * c["num_hidden_layers"]) ** 0.5 if deep else 0.02)

    def compile_parts(self):
        """Compiles one layer and the loss: every layer reuses the same code, which keeps the compile time to seconds."""
        for layer in self.model.layers:
            layer.compile()
        self.head = torch.compile(weighted_loss)

    def forward(self, tokens, target, weight, mask):
        cos, sin = self.tables
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, cos[:tokens.shape[1]], sin[:tokens.shape[1]], mask)
        return self.head(x, self.model.norm, self.model.embed_tokens.weight, target, weight)


def document_mask(segment, make=create_block_mask):
    """Causal attention within each packed document; segment [b, s] numbers the documents of a row."""
    b, s = segment.shape
    if segment.device.type == "cpu":
        same = segment[:, None, :, None] == segment[:, None, None, :]
        return same & torch.ones(s, s, dtype=torch.bool).tril()
    inside = lambda b, h, q, k: (q >= k) & (segment[b, q] == segment[b, k])
    return make(inside, B=b, H=None, Q_LEN=s, KV_LEN=s, device=segment.device)
