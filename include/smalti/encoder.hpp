#pragma once
/// Sentence embeddings of the MiniLM family: text in, unit vectors out.
///
///     auto encoder = smalti::sentence_encoder::load("all-MiniLM-L6-v2");
///     std::vector<std::string> sentences{"How is NPV calculated?", "Net present value discounts cash flows."};
///     smalti::buffer<float> v = encoder.encode(where, sentences);   // (2, 384), each of length 1
///
/// Files throw smalti::error; docs/errors.md lists encoder.1 … encoder.3.

#include "encoder/sentence_encoder.hpp"
