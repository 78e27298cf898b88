// Attention of a decode step of few sequences on a device (device_few.cuh) against double precision: q and the new key turn, key and value are stored, and the
// query attends; NaN in all memory that no key is in, wild numbers of pages where none are.

#include <catch2/catch.hpp>
#include <cmath>
#include <smalti/decoder/device_few.cuh>
#include "arrays.cuh"
#include "device_where.cuh"

namespace smalti::test {
namespace {

struct few_case {
  int kv_heads, batch, split;
  std::vector<int> lengths;  ///< with the new token
  int page = 16, window = 0;
};

template <int D, int G>
void check(few_case const& c) {
  on_cuda const gpu = board();
  if (!(gpu.device >= sm_90a)) return;
  INFO("D " << D << " G " << G << " Hkv " << c.kv_heads << " B " << c.batch << " split " << c.split << " length " << c.lengths[0] << " page " << c.page << " window " << c.window);
  int const heads = G * c.kv_heads, kv = c.kv_heads, longest = *std::max_element(c.lengths.begin(), c.lengths.end()), max_pages = ceil_div(longest, c.page) + 1, positions = longest + 3;
  int const row = (heads + 2 * kv) * D, pages = c.batch * max_pages;
  auto const at = [&](int page, int head, int key, int d) { return ((std::size_t(page) * kv + head) * c.page + key) * D + d; };
  auto const x = random_values<bf16>(std::size_t(c.batch * row), 1);
  auto const cached = random_values<bf16>(std::size_t(2 * pages) * kv * c.page * D, 2);
  std::vector<bf16> keys(cached.size() / 2, bf16(NAN)), values = keys;
  std::vector<int> table(std::size_t(pages), 0x7ffffff);
  for (int b = 0; b < c.batch; ++b)
    for (int key = 0; key < c.lengths[std::size_t(b)]; ++key) {
      int const page = table[std::size_t(b * max_pages + key / c.page)] = pages - 1 - (b * max_pages + key / c.page);
      for (int h = 0; h < kv && key + 1 < c.lengths[std::size_t(b)]; ++h)
        for (int d = 0; d < D; ++d) {
          std::size_t const i = at(page, h, key % c.page, d);
          keys[i] = cached[i], values[i] = cached[keys.size() + i];
        }
    }
  std::vector<float> cosine, sine;
  for (int p = 0; p < positions; ++p)
    for (int i = 0; i < D / 2; ++i) cosine.push_back(float(std::cos(p * std::pow(1e4, -2. * i / D)))), sine.push_back(float(std::sin(p * std::pow(1e4, -2. * i / D))));

  device_array<bf16> const d_x(x), d_keys(keys), d_values(values);
  device_array<float> const d_cosine(cosine), d_sine(sine);
  device_array<int> const d_table(table), d_used(c.lengths);
  device_array<bf16> o(std::size_t(c.batch * heads * D));
  float const scale = 1.f / std::sqrt(float(D));
  view<bf16, 4> const shape{d_keys.at, {pages, kv, c.page, D}, {index(kv) * c.page * D, index(c.page) * D, D, 1}};
  few_attention p{};
  p.kv_used = d_used.at, p.pages = d_table.at, p.page_log2 = std::countr_zero(unsigned(c.page)), p.max_pages = max_pages;
  p.q = d_x.at, p.k = d_x.at + heads * D, p.v = d_x.at + (heads + kv) * D, p.row_x = row, p.o = o.at, p.row_o = heads * D;
  p.keys = shape, p.values = shape, p.values.at = d_values.at, p.rope = {d_cosine.at, d_sine.at, D, positions}, p.scale = scale * 1.4426950408889634f, p.window = c.window;
  std::vector<bf16> once;
  for (int again = 0; again < 2; ++again) {
    o.poison();
    require_ok(detail::launch_few<D, G>(gpu, p, kv, c.batch, c.split));
    require_cuda(cudaDeviceSynchronize());
    auto got = o.host();
    if (again) CHECK(std::memcmp(got.data(), once.data(), got.size() * 2) == 0);
    once = std::move(got);
  }
  auto const new_keys = d_keys.host(), new_values = d_values.host();
  double error = 0, norm = 0, worst = 0;
  for (int b = 0; b < c.batch; ++b) {
    int const length = c.lengths[std::size_t(b)], position = length - 1;
    auto const turned = [&](int from, int d) {
      std::size_t const angle = std::size_t(position * (D / 2) + d % (D / 2));
      double const u = float(x[std::size_t(b * row + from + d)]), w = float(x[std::size_t(b * row + from + (d + D / 2) % D)]), a = cosine[angle], s = sine[angle];
      return u * a + (d < D / 2 ? -w : w) * s;
    };
    auto const page = [&](int key) { return table[std::size_t(b * max_pages + key / c.page)]; };
    for (int h = 0; h < kv; ++h)
      for (int d = 0; d < D; ++d) {  // stored, and nothing beside it
        REQUIRE(std::fabs(float(new_keys[at(page(position), h, position % c.page, d)]) - turned((heads + h) * D, d)) <= 0.0041 * std::fabs(turned((heads + h) * D, d)) + 1e-6);
        REQUIRE(new_values[at(page(position), h, position % c.page, d)].bits == x[std::size_t(b * row + (heads + kv + h) * D + d)].bits);
      }
    int const begin = c.window ? std::max(0, length - c.window) : 0;
    for (int head = 0; head < heads; ++head) {
      std::vector<double> score, sum(D, 0.);
      double top = -INFINITY, total = 0;
      for (int key = begin; key < length; ++key) {
        double s = 0;
        for (int d = 0; d < D; ++d) s += double(float(bf16(float(turned(head * D, d))))) * float(new_keys[at(page(key), head / G, key % c.page, d)]);
        score.push_back(s * scale), top = std::max(top, score.back());
      }
      for (int key = begin; key < length; ++key) {
        double const weight = std::exp(score[std::size_t(key - begin)] - top);
        total += weight;
        for (int d = 0; d < D; ++d) sum[std::size_t(d)] += weight * float(new_values[at(page(key), head / G, key % c.page, d)]);
      }
      for (int d = 0; d < D; ++d) {
        double const want = sum[std::size_t(d)] / total, off = float(once[std::size_t((b * heads + head) * D + d)]) - want;
        error += off * off, norm += want * want, worst = std::isnan(off) ? 1e9 : std::max(worst, std::fabs(off));
      }
    }
  }
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (std::isnan(float(new_keys[i]))) REQUIRE(std::isnan(float(keys[i])));
  CHECK(worst < 0.04);                           // of values near 1: softmax's weights and the result are rounded to bf16
  CHECK(std::sqrt(error / norm) < 6e-3);         // the rest of the step rounds alike: tests/cuda/decoder.cu
}

TEST_CASE("attention of few sequences: lengths around every edge", "[small]") {
  for (int split : {1, 2, 4, 8})
    for (int length : {1, 2, 15, 16, 17, 33, 128, 511, 512, 513, 700}) check<128, 4>({2, 1, split, {length}});
  for (int length : {1, 7, 16, 40, 1023, 1024, 1025, 1030}) {
    check<64, 1>({3, 1, 8, {length}}), check<64, 8>({1, 1, 4, {length}}), check<128, 8>({1, 1, 8, {length}});
    check<64, 3>({2, 1, 8, {length}}), check<128, 2>({1, 1, 2, {length}}), check<128, 4>({1, 1, 8, {length}});
  }
}
TEST_CASE("attention of few sequences: batches, windows and long contexts", "[small]") {
  check<128, 4>({8, 3, 2, {5, 100, 513}, 128});
  check<64, 4>({2, 4, 4, {64, 1, 300, 17}, 32});
  for (int window : {1, 16, 33, 512})
    for (int length : {1, 20, 100, 600}) check<128, 4>({2, 1, 8, {length}, 16, window}), check<64, 2>({1, 2, 4, {length, length + 3}, 64, window});
  check<128, 4>({1, 1, 8, {5000}, 128});
  check<64, 4>({1, 1, 1, {2500}, 16});
}

}  // namespace
}  // namespace smalti::test
