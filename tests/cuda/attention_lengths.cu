// Sequences of different lengths on Hopper's engine: packed, partly filled, in pages. What lies behind a sequence is NaN.

#include "attention_common.cuh"

namespace smalti::test {

/// Rows of K and V that belong to no sequence.
template <class T>
__global__ void spoil(T* k, T* v, int rows, int D, int from) {
  for (int i = from * D + threadIdx.x; i < rows * D; i += blockDim.x) k[i] = v[i] = T(NAN);
}

template <int D>
void lengths() {
  if (!on_hopper()) return;
  on_cuda const w{nullptr, sm_90a};
  device_array<int> const qs(std::vector<int>{0, 1, 90, 90, 200, 500}), ks(std::vector<int>{0, 77, 170, 170, 300, 700}), at(std::vector<int>{76, 4, 0, 20, 100}),
      used(std::vector<int>{50, 93, 0, 1, 333});
  attention_lengths const packed{.count = 5, .q_starts = qs.at, .kv_starts = ks.at, .positions = at.at};
  auto tail = [](operands<bf16>& c) { spoil<<<1, 256>>>(const_cast<bf16*>(c.p.k.at), const_cast<bf16*>(c.p.v.at), 720, D, 700); };
  check<hopper<D>, bf16>(w, "packed", {1, 4, 2, 500, 700, D}, causal{}, {.lengths = packed}, nullptr);
  check<hopper<D>, bf16>(w, "packed, NaN behind", {1, 1, 1, 500, 720, D}, causal{}, {.lengths = packed}, tail);
  auto filled = packed;
  filled.kv_used = used.at;
  check<hopper<D>, bf16>(w, "packed, partly filled", {1, 4, 2, 500, 700, D}, causal{}, {.lengths = filled});
  device_array<int> const cache(std::vector<int>{200, 333});
  auto behind = [](operands<bf16>& c) {
    for (int i = 0; i < 4; ++i)
      spoil<<<1, 256>>>(const_cast<bf16*>(c.p.k.at) + i * 400 * D, const_cast<bf16*>(c.p.v.at) + i * 400 * D, 400, D, i < 2 ? 200 : 333);
  };
  device_array<int> const positions(std::vector<int>{123, 256});
  check<hopper<D>, bf16>(w, "a cache, NaN behind", {2, 4, 2, 77, 400, D}, causal{}, {.lengths = {.kv_used = cache.at, .positions = positions.at}}, behind);
  for (int size : {16, 64, 128}) {
    std::vector<int> ids(2 * 32, -5);  // pages behind the last one are none
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j * size < (i ? 333 : 200); ++j) ids[std::size_t(i * 32 + j)] = (j * 2 + i) * 7 % 61;
    device_array<int> const table(ids);
    check<hopper<D>, bf16>(w, "pages", {61, 4, 2, 77, size, D}, causal{},
                           {.lengths = {.kv_used = cache.at, .positions = positions.at}, .pages = {table.at, size, 32}, .sequences = 2});
  }
}

TEST_CASE("lengths, D 64") { lengths<64>(); }
TEST_CASE("lengths, D 128") { lengths<128>(); }
TEST_CASE("lengths, D 256") { lengths<256>(); }

TEST_CASE("a sequence does not depend on what else is in the batch") {
  if (!on_hopper()) return;
  on_cuda const w{nullptr, sm_90a};
  operands<bf16> all({3, 4, 2, 300, 500, 64});
  REQUIRE(attention_sm90<64>(w, all.p, causal{200}));
  auto const together = all.o.host();
  auto one = all.p;
  for (auto* v : {&one.q, &one.k, &one.v}) v->at += v->stride[0], v->extent[0] = 1;
  one.o.at += one.o.stride[0], one.o.extent[0] = 1, one.lse.at += one.lse.stride[0], one.lse.extent[0] = 1;
  all.poison();
  REQUIRE(attention_sm90<64>(w, one, causal{200}));
  auto const alone = all.o.host();
  std::size_t const n = std::size_t(one.o.stride[0]);
  CHECK(std::memcmp(&alone[n], &together[n], n * 2) == 0);
}

}  // namespace smalti::test
