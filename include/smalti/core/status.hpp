#pragma once
// How kernels report: a value that costs two pointers, never a throw.

namespace smalti {

/// The outcome of a kernel call. Never allocates; `id` is a stable name with an entry in docs/errors.md.
struct [[nodiscard]] status {
  char const* id = nullptr;  ///< e.g. "attn.4"; null on success
  char const* why = "ok";
  constexpr explicit operator bool() const { return id == nullptr; }
};

}  // namespace smalti
