// Activations and normalisations of rows against torch and transformers (tests/golden/ops/README.md).
#include <catch2/catch.hpp>
#include <cmath>
#include <smalti/io/safetensors.hpp>
#include <smalti/math/activations.hpp>
#include <smalti/math/norm.hpp>

namespace smalti {
namespace {

struct array {
  buffer<float> at;
  index rows, columns;
};
array read(safetensors const& file, char const* name) {
  auto const& t = file.at(name);
  bool const flat = t.shape.size() == 1;
  return {to_float(t, t.shape), flat ? 1 : t.shape[0], flat ? t.shape[0] : t.shape[1]};
}
/// Runs f(where, y, x) into NaN on every instruction set; each element may be off by `relative` of itself plus `share` of the
/// largest in its row.
template <class F>
void compare(array const& x, array const& wanted, double relative, double share, F&& f) {
  for (arch a : {generic_cpu, host_arch()}) {
    buffer<float> y(x.at.size(), NAN);
    require(f(on_cpu{a}, row_major(y.data(), x.rows, x.columns), row_major<float const>(x.at.data(), x.rows, x.columns)));
    for (index r = 0; r < x.rows; ++r) {
      auto const at = [&](index c) { return std::size_t(r * x.columns + c); };
      double top = 0;
      for (index c = 0; c < x.columns; ++c) top = std::max(top, std::abs(double(wanted.at[at(c)])));
      for (index c = 0; c < x.columns; ++c) {
        INFO("row " << r << " column " << c << " x " << x.at[at(c)] << " found " << y[at(c)] << " expected " << wanted.at[at(c)]);
        CHECK(std::abs(double(y[at(c)]) - wanted.at[at(c)]) <= relative * std::abs(double(wanted.at[at(c)])) + share * top);
      }
    }
  }
}

TEST_CASE("SiLU and GELU are torch's in double precision, rounded") {
  safetensors const file("tests/golden/ops/activations.safetensors");
  auto const x = read(file, "x");
  // From x = −5 on both are tiny: erf and exp of single precision leave an absolute error there, not a relative one.
  constexpr double tail = 3e-7 / 1e30;  // the largest element of the only row is 1e30
  compare(x, read(file, "silu"), 1e-6, tail, [](on_cpu const& w, view<float, 2> y, view<float const, 2> v) { return apply_silu(w, y, v); });
  compare(x, read(file, "gelu"), 1e-6, tail, [](on_cpu const& w, view<float, 2> y, view<float const, 2> v) { return apply_gelu(w, y, v); });
}

TEST_CASE("RMSNorm, LayerNorm and softmax are exact to a few units in the last place") {
  safetensors const file("tests/golden/ops/norms.safetensors");
  auto const x = read(file, "x"), weight = read(file, "weight"), bias = read(file, "bias");
  std::span<float const> const w(weight.at.data(), weight.at.size()), b(bias.at.data(), bias.at.size());
  compare(x, read(file, "rms_norm_exact"), 1e-6, 0, [&](on_cpu const& on, view<float, 2> y, view<float const, 2> v) { return rms_norm(on, y, v, w, 1e-5f); });
  // The mean of row 7 is 100 deviations: what single precision loses in x − mean, it loses relative to the row's largest.
  compare(x, read(file, "layer_norm_exact"), 2e-6, 1e-5, [&](on_cpu const& on, view<float, 2> y, view<float const, 2> v) { return layer_norm(on, y, v, w, b, 1e-12f); });
  compare(x, read(file, "softmax"), 2e-6, 1e-7, [](on_cpu const& on, view<float, 2> y, view<float const, 2> v) { return smalti::softmax(on, y, v); });
}

}  // namespace
}  // namespace smalti
