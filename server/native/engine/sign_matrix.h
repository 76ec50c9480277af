// The signs of a 1-bit linear in the order in which the kernels read them.
//
// A checkpoint stores row after row, bit k of byte c = column 8c + k. Here a word of W = 1 or 4 bytes
// (8 or 32 columns) of one row lies beside the same word of other rows, 32 of them a group, so that
// one register holds one word of 32 rows:
//   [band of kBandRows rows][kColumnBlock columns][block of up to sign_block_groups groups][word][group][32 rows]
// words of W bytes. A thread that takes a band reads it from end to end, and changes from one column block's
// tables to the next one's as seldom as it can: either costs as much as 10 KB of signs.
// Rows are padded to a multiple of 32 with +1, columns to whole words.
#pragma once

#include <cstdint>

#include "engine/kernels.h"
#include "engine/pages.h"

namespace onebit {

class SignMatrix {
 public:
  // 128 KB of a column block.
  static constexpr int kBandRows = 2048;

  SignMatrix() = default;
  // in: a multiple of 8.
  SignMatrix(int out, int in, const Kernels& kernels, PagePool& pool);

  int blocks() const { return blocks_; }
  // Rows of every block but the last.
  int block_rows() const { return block_groups_ * kSignLanes; }
  // Groups of 32 rows in a block.
  int groups(int block) const {
    const int rest = groups_ - block * block_groups_;
    return rest < block_groups_ ? rest : block_groups_;
  }
  // The words of a block's rows in the column block that begins with `column`.
  const void* words(int block, int column) const { return storage_.data() + Offset(block, column); }
  size_t bytes() const { return storage_.size(); }

  // Fills one block from its rows as a checkpoint stores them, `in`/8 bytes each.
  void Pack(int block, const uint8_t* rows);

 private:
  template <typename Word>
  void PackWords(int block, const uint8_t* rows);
  // In bytes; `column` is a multiple of kColumnBlock.
  int64_t Offset(int block, int column) const {
    const int band_groups = kBandRows / kSignLanes;
    const int group = block * block_groups_;
    const int first = group / band_groups * band_groups;
    const int in_band = groups_ - first < band_groups ? groups_ - first : band_groups;
    const int word = column / (8 * word_bytes_);
    const int most = kColumnBlock / (8 * word_bytes_);
    const int words = row_words_ - word < most ? row_words_ - word : most;
    const int64_t before = int64_t{first} * row_words_ + int64_t{in_band} * word + int64_t{group - first} * words;
    return before * kSignLanes * word_bytes_;
  }

  int out_ = 0;
  int in_ = 0;
  int word_bytes_ = 1;
  int block_groups_ = 1;
  int groups_ = 0;
  int blocks_ = 0;
  int row_words_ = 0;
  Pages storage_;
};

// 8 signs of floats by their type, least significant bit first, bit 1 = negative; zero counts as +1.
void PackSigns(FloatType type, const void* values, int64_t n, uint8_t* signs);

}  // namespace onebit
