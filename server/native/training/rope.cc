#include "training/rope.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "training/rows.h"

namespace onebit::training {

Angles RopeAngles(i64 window, i64 head_dim, const float* frequencies) {
  // The same for every layer and step of a training run: made again only when they change.
  thread_local std::vector<float> cos, sin, known;
  const i64 half = head_dim / 2;
  const std::size_t size = static_cast<std::size_t>(window * half);
  if (cos.size() != size || known.size() != static_cast<std::size_t>(half) ||
      std::memcmp(known.data(), frequencies, half * sizeof(float)) != 0) {
    known.assign(frequencies, frequencies + half);
    cos.resize(size);
    sin.resize(size);
    for (i64 position = 0; position < window; position++)
      for (i64 i = 0; i < half; i++) {
        const double angle = static_cast<double>(position) * frequencies[i];
        cos[position * half + i] = static_cast<float>(std::cos(angle));
        sin[position * half + i] = static_cast<float>(std::sin(angle));
      }
  }
  return {cos.data(), sin.data()};
}

void Rope(i64 rows, i64 width, i64 window, i64 head_dim, Angles angles, bool inverse, const float* x, float* y) {
  const i64 half = head_dim / 2;
  const Kernels& kernels = Selected();
  const float direction = inverse ? -1.0f : 1.0f;
  ForRows(rows, width, [&](i64 first, i64 last, i64) {
    for (i64 r = first; r < last; r++) {
      const float* cos = angles.cos + (r % window) * half;
      const float* sin = angles.sin + (r % window) * half;
      for (i64 start = r * width; start < (r + 1) * width; start += head_dim)
        kernels.rope_head(x + start, cos, sin, direction, y + start, half);
    }
  });
}

}  // namespace onebit::training
