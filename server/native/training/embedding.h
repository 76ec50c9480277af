// Rows of the embedding table, and the gradient that adds them up.
#pragma once
#include <cstdint>

#include "training/kernels.h"

namespace onebit::training {

void Embed(i64 rows, i64 width, const float* table, const std::int32_t* ids, float* y);
void EmbedGradient(i64 rows, i64 width, i64 vocab, const float* dy, const std::int32_t* ids, float* dtable);

}  // namespace onebit::training
