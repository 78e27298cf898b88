#pragma once
// Random numbers that are a function of a counter and a key: no state, so every backend and every order of evaluation draws
// the same. Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", §4).

#include "../core/config.hpp"

namespace smalti {

struct philox_block {
  uint32_t x[4];
  friend constexpr bool operator==(philox_block const&, philox_block const&) = default;
};

/// Four independent words for every (counter, key). Ten rounds of two 32×32 → 64 products.
SMALTI_HD constexpr philox_block philox(philox_block c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    uint64_t const a = uint64_t(0xD2511F53u) * c.x[0], b = uint64_t(0xCD9E8D57u) * c.x[2];
    c = {{uint32_t(b >> 32) ^ c.x[1] ^ key0, uint32_t(b), uint32_t(a >> 32) ^ c.x[3] ^ key1, uint32_t(a)}};
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;  // the golden ratio and √3 − 1: the key schedule is a Weyl sequence
  }
  return c;
}

/// A float in [0, 1) of 24 random bits.
SMALTI_HD constexpr float unit_float(uint32_t word) { return float(word >> 8) * 5.9604644775390625e-8f; }

/// The i-th float in [0, 1) of stream `stream` under `seed`.
SMALTI_HD constexpr float random_unit(uint64_t seed, uint64_t i, uint32_t stream = 0) {
  uint64_t const block = i / 4;
  return unit_float(philox({{uint32_t(block), uint32_t(block >> 32), stream, 0}}, uint32_t(seed), uint32_t(seed >> 32)).x[i % 4]);
}

}  // namespace smalti
