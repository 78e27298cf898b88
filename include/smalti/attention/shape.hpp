#pragma once
// What an attention kernel computes, as far as its machine code depends on it.

#include "../core/config.hpp"

namespace smalti {

/// Part of the problem: a different shape is a different function. May be a template argument.
struct attention_shape {
  int head_dim;       ///< columns of Q and K
  int elem_bytes;     ///< storage size of one element of Q, K, V: 2 or 4
  int value_dim = 0;  ///< columns of V and O; 0: as head_dim
  bool masked = false;  ///< the variant drops keys: blocks of queries differ in length (the common engine's table asks)

  SMALTI_HD constexpr int values() const { return value_dim ? value_dim : head_dim; }
  friend constexpr bool operator==(attention_shape const&, attention_shape const&) = default;
};

}  // namespace smalti
