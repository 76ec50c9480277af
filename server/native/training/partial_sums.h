// Sums of vectors over the rows of a matrix: each piece of ForRows adds into a part of its own, and the parts are
// added in order.
#pragma once
#include <cstring>

#include "training/rows.h"
#include "training/scratch.h"

namespace onebit::training {

class PartialSums {
 public:
  // For the pieces of ForRows(rows, row_width): vectors of n floats, all 0.
  PartialSums(i64 rows, i64 row_width, i64 n)
      : n_(n), pieces_(Pieces(rows, row_width)),
        parts_(Scratch(Slot::kPartial, static_cast<std::size_t>(pieces_ * n))) {
    std::memset(parts_, 0, static_cast<std::size_t>(pieces_ * n) * sizeof(float));
  }

  float* Part(i64 piece) const { return parts_ + piece * n_; }

  void Total(float* sum) const {
    std::memcpy(sum, parts_, n_ * sizeof(float));
    for (i64 piece = 1; piece < pieces_; piece++) Selected().combine(1, Part(piece), 1, sum, n_);
  }

 private:
  i64 n_, pieces_;
  float* parts_;
};

}  // namespace onebit::training
