#pragma once
/// Retrieval: vector indexes (exact, HNSW), BM25, rank fusion and MMR, and a store of documents in one file.
///
///     smalti::store s = smalti::store::open("handbook.idx", {.model = "all-MiniLM-L6-v2"});
///     auto near = s.search_vectors(where, query_vector, 20);     // (384) unit vector → hits
///     auto said = s.search_words("net present value", 20);
///     for (smalti::hit h : smalti::fuse({near, said}, 5)) std::cout << s.chunk(h.id).text();
///
/// Files and indexes throw smalti::error; docs/errors.md lists index.1 … index.13.

#include "retrieval/bm25.hpp"
#include "retrieval/flat.hpp"
#include "retrieval/fusion.hpp"
#include "retrieval/hnsw.hpp"
#include "retrieval/store.hpp"
