#pragma once
// Stores with made-up documents, the same for the same seed.

#include <cmath>
#include <random>
#include "smalti/retrieval/store.hpp"

namespace smalti {

inline std::vector<float> sample_vectors(int count, int dimension, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(std::size_t(count * dimension));
  for (int i = 0; i < count; ++i) {
    float length = 0;
    for (int j = 0; j < dimension; ++j) length += std::pow(v[std::size_t(i * dimension + j)] = normal(random), 2.f);
    for (int j = 0; j < dimension; ++j) v[std::size_t(i * dimension + j)] /= std::sqrt(length);
  }
  return v;
}

inline document sample_document(int number, int words = 30) {
  document d{"doc-" + std::to_string(number), "Title " + std::to_string(number), number % 2 ? "odd" : "even", {"all", "third" + std::to_string(number % 3)}, {}, "doc.md"};
  for (int i = 0; i < words; ++i) d.text += "word" + std::to_string((number * 7 + i * i) % 50) + (i % 6 == 5 ? ". " : " ");
  return d;
}

/// `chunks` equal pieces of the document, with vectors made from its number.
inline void add_sample(store& s, document d, int number, int chunks = 3) {
  std::vector<text_span> spans;
  for (int i = 0; i < chunks; ++i) spans.push_back({d.text.size() * std::size_t(i) / std::size_t(chunks), d.text.size() * std::size_t(i + 1) / std::size_t(chunks)});
  auto const v = sample_vectors(chunks, s.dimension(), unsigned(number) + 1);
  s.add(std::move(d), spans, row_major(v.data(), chunks, s.dimension()));
}

inline store sample_store(int documents, int dimension = 8) {
  store s({.model = "sample", .dimension = dimension});
  for (int i = 0; i < documents; ++i) add_sample(s, sample_document(i), i);
  return s;
}

inline std::string bytes_of(store const& s) {
  std::string all;
  s.write([&](std::string_view part) { all += part; });
  return all;
}
inline store store_from(std::string const& bytes, store_options expected = {}) {
  return store::from_bytes(std::as_bytes(std::span(bytes)), "sample.idx", std::move(expected));
}

}  // namespace smalti
