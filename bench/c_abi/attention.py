"""The C interface of attention.h for PyTorch tensors."""
import ctypes

import torch

DTYPES = {torch.bfloat16: 0, torch.float16: 1, torch.float8_e4m3fn: 2}
MASKS = {"full": 0, "causal": 1}
ENGINES = {"sm_90a": 90, "sm_80": 80, "decode": 1}  # 90: whatever the library thinks best on this board; Library.engine() tells

LAUNCHES = ("serial", "programmatic", "early")


class Problem(ctypes.Structure):
    """smalti_attention_problem, field by field."""
    _fields_ = [(n, ctypes.c_int) for n in ("dtype", "mask", "engine", "batch", "heads", "heads_kv", "queries", "keys", "head_dim", "value_dim")] + \
               [(n, ctypes.c_void_p) for n in ("q", "k", "v", "o", "lse")] + \
               [(f"stride_{n}", ctypes.c_longlong * 3) for n in "qkvo"] + \
               [("scale", ctypes.c_float), ("stream", ctypes.c_void_p), ("ticket", ctypes.c_void_p), ("workspace", ctypes.c_void_p),
                ("workspace_bytes", ctypes.c_size_t), ("launch", ctypes.c_int)] + [(f"scale_{n}", ctypes.c_void_p) for n in "qkv"]


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        for name in ("smalti_attention", "smalti_attention_kernel", "smalti_quantise_e4m3", "smalti_commit", "smalti_toolkit"):
            getattr(self.c, name).restype = ctypes.c_char_p
        self.c.smalti_decode_workspace.restype = ctypes.c_size_t
        self.commit, self.toolkit = self.c.smalti_commit().decode(), self.c.smalti_toolkit().decode()
        self.workspace = None
        self.ticket = torch.zeros(1, dtype=torch.int32, device="cuda")

    def problem(self, q, k, v, o, mask, engine):
        """q, o: (B, H, N, ·), k, v: (B, Hkv, M, ·), any strides but the last."""
        p = Problem(DTYPES[q.dtype], MASKS[mask], ENGINES[engine], q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3],
                    *(x.data_ptr() for x in (q, k, v, o)), None, *((ctypes.c_longlong * 3)(*x.stride()[:3]) for x in (q, k, v, o)),
                    q.shape[3] ** -0.5, None, self.ticket.data_ptr())
        p.tensors = (q, k, v, o)  # alive as long as the problem is
        return p

    def decode(self, q, k, v, o, launch):
        """As problem, for few queries of each sequence; one workspace serves every call of a stream."""
        p = self.problem(q, k, v, o, "full", "decode")
        p.launch = LAUNCHES.index(launch)
        p.workspace_bytes = self.c.smalti_decode_workspace(ctypes.byref(p))
        if self.workspace is None or self.workspace.numel() < p.workspace_bytes:
            self.workspace = torch.zeros(max(p.workspace_bytes, 1), dtype=torch.uint8, device="cuda")
        p.tensors += (self.workspace,)
        p.workspace = self.workspace.data_ptr()
        return p

    def eight_bits(self, q, k, v, o, mask):
        """As problem, with q, k, v (bf16) quantised to e4m3 first, a scale for each head. Also the codes times their scales, (B, H, N, D) in fp32."""
        p = self.problem(q, k, v, o, mask, "sm_90a")
        (B, H, N, D), (_, Hkv, M, Dv) = q.shape, v.shape
        codes = [torch.empty(shape, device="cuda", dtype=torch.float8_e4m3fn) for shape in ((B, H, N, D), (B, Hkv, M, D), (B, Hkv, Dv, -(-M // 16) * 16))]
        scales = [torch.empty(B, heads, 1, 1, device="cuda") for heads in (H, Hkv, Hkv)]
        refusal = self.c.smalti_quantise_e4m3(ctypes.byref(p), *(ctypes.c_void_p(x.data_ptr()) for x in codes + scales))
        if refusal is not None:
            raise RuntimeError(refusal.decode())
        p.dtype, (p.q, p.k, p.v), (p.scale_q, p.scale_k, p.scale_v) = DTYPES[torch.float8_e4m3fn], (x.data_ptr() for x in codes), (x.data_ptr() for x in scales)
        p.stride_q, p.stride_k, p.stride_v = ((ctypes.c_longlong * 3)(*x.stride()[:3]) for x in codes)
        p.tensors = (o, *codes, *scales)
        at = torch.arange(M, device="cuda")
        slots = (at & ~15) + ((at >> 1 & 3) << 2) + ((at >> 3 & 1) << 1) + (at & 1)  # quant/e4m3.hpp: e4m3_slot
        plain = [codes[0].float() * scales[0], codes[1].float() * scales[1], (codes[2].float()[..., slots] * scales[2]).transpose(2, 3)]
        return p, plain

    def engine(self, p):
        """The engine that the call would run: sm_90a or sm_80; None where it would be refused."""
        name = self.c.smalti_attention_kernel(ctypes.byref(p))
        return name and ("sm_90a" if b"sm90" in name else "sm_80")

    def call(self, p):
        """A function of no arguments that computes p on the stream which is current when it is called."""
        run, at = self.c.smalti_attention, ctypes.byref(p)

        def attend():
            p.stream = torch.cuda.current_stream().cuda_stream
            if (refusal := run(at)) is not None:
                raise RuntimeError(refusal.decode())
        return attend
