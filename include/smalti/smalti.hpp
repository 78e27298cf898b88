#pragma once
// Everything on the host that needs only the standard library. Models, text and retrieval are headers of their own
// (decoder.hpp, encoder.hpp, retrieval.hpp, rag.hpp), because they need libraries.

#include "attention.hpp"
#include "gemm.hpp"
#include "lora.hpp"
#include "nf4.hpp"
