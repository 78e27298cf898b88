#pragma once
/// Questions answered from documents: a folder of Markdown indexed, passages retrieved, a prompt within a budget, citations with
/// their evidence, a confidence, and declining where the documents do not hold the answer.
///
///     auto encoder = smalti::sentence_encoder::load(".cache/models/all-MiniLM-L6-v2");
///     auto s = smalti::make_store(encoder);
///     smalti::index_documents(where, s, encoder, smalti::load_documents("examples/data/handbook"));
///     auto found = smalti::retrieve(where, s, encoder, question, {.k = 4});
///     auto reply = smalti::answer(model, question, found);       // model: rag_prompt → generated_text
///
/// Files throw smalti::error; docs/errors.md lists rag.1 … rag.5.

#include "rag/answer.hpp"
#include "rag/chat_generator.hpp"
#include "rag/documents.hpp"
