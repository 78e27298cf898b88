#pragma once
// Language models on the ops: load, adapt, generate, measure, quantise. The public header.
//
//   thread_pool threads{4};
//   auto model = load_decoder("models/granite-3.1-8b-instruct", {.weights = weight_kind::nf4}, on_cpu{threads});
//   model.attach(load_adapter("adapters/finance"));
//   generate(model, "How is NPV calculated?", {.max_tokens = 64}, [](std::string_view piece) { std::cout << piece; return true; });

#include "decoder/language_model.hpp"
#include "decoder/profile.hpp"
#include "decoder/quantise.hpp"
