#pragma once
// Configuration spaces that the compiler enumerates, and the lift from run-time values to template arguments.

#include <cstddef>
#include <utility>
#include "config.hpp"

namespace smalti {

/// The values one tuning knob may take.
template <std::size_t N>
struct axis {
  int at[N];
};
template <class... I>
axis(I...) -> axis<sizeof...(I)>;

/// A list of configurations, known to the compiler. Structural, so it may be a template argument.
template <class Config, std::size_t Capacity>
struct config_list {
  Config items[Capacity > 0 ? Capacity : 1] = {};
  std::size_t count = 0;

  constexpr void push(Config c) { items[count++] = c; }
  constexpr std::size_t size() const { return count; }
  constexpr Config const* begin() const { return items; }
  constexpr Config const* end() const { return items + count; }
  constexpr Config operator[](std::size_t i) const { return items[i]; }

  /// The sublist that satisfies `keep`.
  template <class Predicate>
  constexpr config_list where(Predicate keep) const {
    config_list out = none();
    for (Config c : *this)
      if (keep(c)) out.push(c);
    return out;
  }

  /// Every `of`-th configuration from `i` on: one translation unit's share of a sweep.
  constexpr config_list shard(std::size_t i, std::size_t of) const {
    config_list out = none();
    for (; i < count; i += of) out.push(items[i]);
    return out;
  }

 private:
  /// A copy, emptied: nvcc takes the elements of `items = {}` that were never assigned for uninitialised and refuses the result.
  constexpr config_list none() const {
    config_list out = *this;
    out.count = 0;
    return out;
  }
};

/// The Cartesian product of the axes, in the order of Config's members.
template <class Config, std::size_t... N>
constexpr auto sweep(axis<N>... axes) {
  constexpr std::size_t total = (N * ... * 1);
  config_list<Config, total> out;
  for (std::size_t i = 0; i < total; ++i) {
    std::size_t rest = i;
    auto pick = [&rest](auto const& a, std::size_t n) { int v = a.at[rest % n]; rest /= n; return v; };
    out.push(Config{pick(axes, N)...});  // braces: members are picked left to right
  }
  return out;
}

/// Calls `f.template operator()<C>()` for every C in List; stops early if f returns true.
template <auto List, class F>
constexpr bool for_each(F&& f) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return (f.template operator()<List[I]>() || ... || false);
  }(std::make_index_sequence<List.size()>{});
}

/// Lifts a run-time value into a template argument: the one replacement for every DISPATCH_* macro.
template <auto... Allowed, class V, class F>
constexpr bool dispatch(V v, F&& f) {
  return ((v == Allowed ? (f.template operator()<Allowed>(), true) : false) || ...);
}

}  // namespace smalti
