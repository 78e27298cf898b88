"""The C interface of products.h for PyTorch tensors."""
import ctypes

import torch


class File(ctypes.Structure):
    """smalti_nf4_file, field by field."""
    _fields_ = [("n", ctypes.c_int), ("k", ctypes.c_int)] + [(f, ctypes.c_void_p) for f in ("code", "absmax", "absmax_code", "nested_absmax", "nested_map")] + \
               [("nested_offset", ctypes.c_float)]


class Weight:
    def __init__(self, library, handle, n, k):
        self.library, self.handle, self.n, self.k = library, handle, n, k

    def __del__(self):
        self.library.c.smalti_free(self.handle)


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        for name in ("smalti_nf4", "smalti_nf4_of", "smalti_int8"):
            getattr(self.c, name).restype = ctypes.c_void_p
        for name in ("smalti_why", "smalti_dequantise", "smalti_product", "smalti_commit", "smalti_toolkit"):
            getattr(self.c, name).restype = ctypes.c_char_p
        self.c.smalti_nf4_file_of.restype = ctypes.POINTER(File)
        self.c.smalti_free.argtypes = self.c.smalti_nf4_file_of.argtypes = [ctypes.c_void_p]
        self.c.smalti_nf4.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self.c.smalti_int8.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self.c.smalti_dequantise.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        self.c.smalti_product.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
        self.commit, self.toolkit = self.c.smalti_commit().decode(), self.c.smalti_toolkit().decode()

    def made(self, handle, n, k):
        if not handle:
            raise RuntimeError(self.c.smalti_why().decode())
        return Weight(self, handle, n, k)

    def nf4(self, w, double_quant=True):
        """w: (N, K) in bf16 on the device."""
        torch.cuda.synchronize()
        return self.made(self.c.smalti_nf4(w.data_ptr(), *w.shape, int(double_quant)), *w.shape)

    def int8(self, w):
        torch.cuda.synchronize()
        return self.made(self.c.smalti_int8(w.data_ptr(), *w.shape), *w.shape)

    def nf4_of(self, n, k, code, absmax=None, absmax_code=None, nested_absmax=None, nested_map=None, nested_offset=0.0):
        """From the arrays of a file, tensors on the device."""
        torch.cuda.synchronize()
        at = [None if t is None else t.data_ptr() for t in (code, absmax, absmax_code, nested_absmax, nested_map)]
        return self.made(self.c.smalti_nf4_of(ctypes.byref(File(n, k, *at, nested_offset))), n, k)

    def file(self, weight):
        """{name: what the weight's file would hold, as bytes on the device}, and the offset."""
        f, blocks = self.c.smalti_nf4_file_of(weight.handle).contents, weight.n * weight.k // 64
        sizes = {"code": blocks * 32, "absmax": blocks * 4, "absmax_code": blocks, "nested_absmax": -(-blocks // 256) * 4}

        def bytes_at(pointer, size):
            shown = {"shape": (size,), "typestr": "|u1", "data": (pointer, False), "version": 3}
            return torch.as_tensor(type("Array", (), {"__cuda_array_interface__": shown})(), device="cuda").clone()
        return {name: bytes_at(getattr(f, name), size) for name, size in sizes.items() if getattr(f, name)}, f.nested_offset

    def dequantised(self, weight, dtype):
        out = torch.empty(weight.n, weight.k, dtype=dtype, device="cuda")
        self.must(self.c.smalti_dequantise(weight.handle, out.data_ptr(), int(dtype == torch.float32)))
        return out

    def product(self, weight, x, y, programmatic=True):
        """A function of no arguments that computes y (M, N) = x (M, K) · Ŵᵀ on the stream which is current when it is called."""
        def multiply():
            self.must(self.c.smalti_product(weight.handle, x.data_ptr(), y.data_ptr(), x.shape[0], int(programmatic), torch.cuda.current_stream().cuda_stream))
        return multiply

    @staticmethod
    def must(refusal):
        if refusal is not None:
            raise RuntimeError(refusal.decode())
