#include "engine/sign_matrix.h"

#include <cstring>

#include "engine/half.h"

namespace onebit {
namespace {

template <class W>
void PackSignsOf(const void* values, int64_t n, uint8_t* signs) {
  const auto* v = static_cast<const typename W::Stored*>(values);
  for (int64_t i = 0; i < n; i += 8) {
    unsigned byte = 0;
    for (int j = 0; j < 8; j++) byte |= (W::Get(v[i + j]) < 0.0f ? 1u : 0u) << j;
    signs[i / 8] = static_cast<uint8_t>(byte);
  }
}

}  // namespace

SignMatrix::SignMatrix(int out, int in, const Kernels& kernels, PagePool& pool)
    : out_(out),
      in_(in),
      word_bytes_(kernels.sign_word_bytes),
      block_groups_(kernels.sign_block_groups),
      groups_((out + kSignLanes - 1) / kSignLanes),
      blocks_((groups_ + block_groups_ - 1) / block_groups_),
      row_words_((in / 8 + word_bytes_ - 1) / word_bytes_),
      storage_(static_cast<size_t>(groups_) * kSignLanes * row_words_ * word_bytes_, pool) {}

void SignMatrix::Pack(int block, const uint8_t* rows) {
  if (word_bytes_ == 4) PackWords<uint32_t>(block, rows);
  else PackWords<uint8_t>(block, rows);
}

template <typename Word>
void SignMatrix::PackWords(int block, const uint8_t* rows) {
  constexpr int kWordsAtOnce = 16;  // keeps what is written between two visits in the L1 cache
  constexpr int kWordColumns = 8 * static_cast<int>(sizeof(Word));
  static_assert(kColumnBlock % (kWordsAtOnce * kWordColumns) == 0, "no visit spans two column blocks");
  const int lanes = groups(block) * kSignLanes;
  const int first_row = block * block_rows();
  const int filled = out_ - first_row < lanes ? out_ - first_row : lanes;
  const int row_bytes = in_ / 8;
  const auto word_of = [&](int lane, int w) {
    const uint8_t* source = rows + static_cast<int64_t>(lane) * row_bytes;
    const int at = w * static_cast<int>(sizeof(Word));
    Word word = 0;
    if (at + static_cast<int>(sizeof(Word)) <= row_bytes) std::memcpy(&word, source + at, sizeof(Word));
    else std::memcpy(&word, source + at, static_cast<size_t>(row_bytes - at));
    return word;
  };
  for (int start = 0; start < row_words_; start += kWordsAtOnce) {
    const int column = start * kWordColumns / kColumnBlock * kColumnBlock;
    Word* target = reinterpret_cast<Word*>(storage_.data() + Offset(block, column));
    target += static_cast<int64_t>(start - column / kWordColumns) * lanes;
    const int count = row_words_ - start < kWordsAtOnce ? row_words_ - start : kWordsAtOnce;
    for (int lane = 0; lane < filled; lane++) {
      for (int w = 0; w < count; w++) target[static_cast<int64_t>(w) * lanes + lane] = word_of(lane, start + w);
    }
  }
}

void PackSigns(FloatType type, const void* values, int64_t n, uint8_t* signs) {
  switch (type) {
    case FloatType::kF32: return PackSignsOf<F32Weight>(values, n, signs);
    case FloatType::kF16: return PackSignsOf<F16Weight>(values, n, signs);
    case FloatType::kBf16: return PackSignsOf<Bf16Weight>(values, n, signs);
  }
}

}  // namespace onebit
