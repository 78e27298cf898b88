#pragma once
// JSON from files that nobody vouches for (RFC 8259): bounded depth, no duplicate keys, and messages that name the file, the
// field, what was expected and what was found.

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#include <nlohmann/json.hpp>
#include "../core/config.hpp"
#include "../core/error.hpp"
#include "json_fwd.hpp"

namespace smalti {

namespace detail {
/// A value for messages, cut to 80 bytes.
std::string shown(json const& v);

template <class T> inline constexpr bool is_vector = false;
template <class T> inline constexpr bool is_vector<std::vector<T>> = true;

template <class T>
std::string kind_of() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return "an integer in " + std::to_string(std::numeric_limits<T>::min()) + " … " + std::to_string(std::numeric_limits<T>::max());
  else if constexpr (std::is_floating_point_v<T>) return "a finite number";
  else if constexpr (std::is_same_v<T, std::string>) return "a string";
  else if constexpr (is_vector<T>) return "an array, each element " + kind_of<typename T::value_type>();
  else return "an object";
}

// No conversion that nlohmann would do silently (3.7 → 3, true → 1, 2³² → 0) passes.
template <class T>
std::optional<T> converted(json const& v) {
  if constexpr (std::is_same_v<T, json>) return v;
  else if constexpr (std::is_same_v<T, bool>) return v.is_boolean() ? std::optional<T>(v.get<bool>()) : std::nullopt;
  else if constexpr (std::is_integral_v<T>) {
    if (v.is_number_unsigned() && std::in_range<T>(v.get<uint64_t>())) return T(v.get<uint64_t>());
    if (v.is_number_integer() && !v.is_number_unsigned() && std::in_range<T>(v.get<int64_t>())) return T(v.get<int64_t>());
    return std::nullopt;
  } else if constexpr (std::is_floating_point_v<T>) {
    return v.is_number() && std::isfinite(T(v.get<double>())) ? std::optional<T>(T(v.get<double>())) : std::nullopt;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return v.is_string() ? std::optional<T>(v.get_ref<std::string const&>()) : std::nullopt;
  } else if constexpr (is_vector<T>) {
    if (!v.is_array()) return std::nullopt;
    T all;
    for (auto const& element : v)
      if (auto e = converted<typename T::value_type>(element)) all.push_back(std::move(*e));
      else return std::nullopt;
    return all;
  } else static_assert(std::is_same_v<T, void>, "io.4: bool, integers, floats, std::string, json, and vectors of these");
}
}  // namespace detail

/// One JSON value from text; `name` stands in messages. Errors: io.3 (not JSON, a duplicate key, nested deeper than 256).
json parse_json(std::string_view text, std::string const& name);

/// The JSON file at `path`. Errors: io.1 (cannot be read), io.3.
json read_json(std::string const& path);

/// The value of a field that must be there; `file` stands in messages. T: bool, an integer, a float, std::string, json or a
/// vector of these. Errors: io.4 (not an object, no such field, another type, out of range).
template <class T>
T field(json const& object, std::string const& file, std::string const& name) {
  if (!object.is_object()) throw error("io.4", file + ": expected an object with the field \"" + name + "\", found " + detail::shown(object));
  auto const at = object.find(name);
  if (at == object.end()) throw error("io.4", file + ": field \"" + name + "\": expected " + detail::kind_of<T>() + ", found no such field");
  if (auto v = detail::converted<T>(*at)) return std::move(*v);
  throw error("io.4", file + ": field \"" + name + "\": expected " + detail::kind_of<T>() + ", found " + detail::shown(*at));
}

/// The same with a value for a field that is absent or null; a field of another type is still an error.
template <class T>
T field(json const& object, std::string const& file, std::string const& name, std::type_identity_t<T> absent) {
  if (object.is_object())
    if (auto const at = object.find(name); at == object.end() || at->is_null()) return absent;
  return field<T>(object, file, name);
}

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_IO)
  #include <algorithm>
  #include "file.hpp"

namespace smalti {

namespace detail {
// Builds the value by events instead of nlohmann's own builder, because that one keeps the last of two equal keys without a
// word: two readers of one file could then see two different tensors.
class json_builder {
 public:
  explicit json_builder(std::string const& name) : name_(name) {}
  json take() { return std::move(root_); }

  bool null() { return add(nullptr), true; }
  bool boolean(bool v) { return add(v), true; }
  bool number_integer(json::number_integer_t v) { return add(v), true; }
  bool number_unsigned(json::number_unsigned_t v) { return add(v), true; }
  bool number_float(json::number_float_t v, std::string const&) { return add(v), true; }
  bool string(std::string& v) { return add(std::move(v)), true; }
  bool binary(json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(json::object()); }
  bool start_array(std::size_t) { return open(json::array()); }
  bool end_object() { return open_.pop_back(), true; }
  bool end_array() { return open_.pop_back(), true; }
  bool key(std::string& v) {
    auto [at, fresh] = open_.back()->get_ref<json::object_t&>().emplace(v, nullptr);
    if (!fresh) throw error("io.3", name_ + ": expected each key once, found \"" + v + "\" twice in one object");
    return slot_ = &at->second, true;
  }
  template <class Exception>
  bool parse_error(std::size_t position, std::string const&, Exception const& e) {
    std::string const why = e.what();  // "[json.exception.parse_error.101] parse error at …: reason"
    throw error("io.3", name_ + ": not JSON at byte " + std::to_string(position) + why.substr(std::min(why.size(), why.find("]") + 1)));
  }

 private:
  static constexpr std::size_t deepest = 256;

  json* add(json v) {
    if (open_.empty()) return root_ = std::move(v), &root_;
    if (open_.back()->is_array()) return &open_.back()->get_ref<json::array_t&>().emplace_back(std::move(v));
    return *slot_ = std::move(v), slot_;
  }
  bool open(json v) {
    if (open_.size() == deepest)
      throw error("io.3", name_ + ": expected at most " + std::to_string(deepest) + " levels of nesting, found more");
    return open_.push_back(add(std::move(v))), true;
  }

  std::string const& name_;
  json root_;
  std::vector<json*> open_;  // arrays and objects not yet closed; only the last grows, so the pointers hold
  json* slot_ = nullptr;     // where the value of the last key goes
};

SMALTI_INLINE std::string shown(json const& v) {
  auto s = v.dump(-1, ' ', false, json::error_handler_t::replace);
  return s.size() > 80 ? s.substr(0, 77) + "..." : s;
}
}  // namespace detail

SMALTI_INLINE json parse_json(std::string_view text, std::string const& name) {
  detail::json_builder builder(name);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

SMALTI_INLINE json read_json(std::string const& path) {
  mapped_file const file(path);
  return parse_json(file.text(), path);
}

}  // namespace smalti
#endif
