// Rows of LayerNorm and RMSNorm, of RoPE and of the sign matrix. Needs simd.inl.

namespace {

float LayerNorm(float* y, i64 n, float eps) {
  Vec total{};
  for (i64 i = 0; i < n; i += kLanes) total += Load(y + i, n - i);
  const float mean = Sum(total) / static_cast<float>(n);
  Vec squares{};
  for (i64 i = 0; i < n; i += kLanes) {
    const Vec centred = Load(y + i, n - i, mean) - mean;
    squares += centred * centred;
  }
  const float inverse = 1.0f / __builtin_sqrtf(Sum(squares) / static_cast<float>(n) + eps);
  for (i64 i = 0; i < n; i += kLanes) Store(y + i, (Load(y + i, n - i) - mean) * inverse, n - i);
  return inverse;
}

void LayerNormGradient(const float* dy, const float* y, float inverse, float* dz, i64 n) {
  Vec sum{}, product{};
  for (i64 i = 0; i < n; i += kLanes) {
    const Vec d = Load(dy + i, n - i);
    sum += d;
    product += d * Load(y + i, n - i);
  }
  const float mean = Sum(sum) / static_cast<float>(n);
  const float along = Sum(product) / static_cast<float>(n);
  for (i64 i = 0; i < n; i += kLanes)
    Store(dz + i, (Load(dy + i, n - i) - mean - Load(y + i, n - i) * along) * inverse, n - i);
}

float RmsNorm(const float* x, const float* gain, float* y, i64 n, float eps) {
  Vec squares{};
  for (i64 i = 0; i < n; i += kLanes) {
    const Vec v = Load(x + i, n - i);
    squares += v * v;
  }
  const float inverse = 1.0f / __builtin_sqrtf(Sum(squares) / static_cast<float>(n) + eps);
  for (i64 i = 0; i < n; i += kLanes) Store(y + i, Load(x + i, n - i) * inverse * Load(gain + i, n - i), n - i);
  return inverse;
}

void RmsNormGradient(const float* dy, const float* x, const float* gain, float inverse, float* dx, float* dgain,
                     i64 n) {
  Vec product{};
  for (i64 i = 0; i < n; i += kLanes)
    product += Load(dy + i, n - i) * Load(gain + i, n - i) * Load(x + i, n - i);
  const float along = Sum(product) * inverse * inverse / static_cast<float>(n);
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec d = Load(dy + i, left), v = Load(x + i, left);
    Store(dx + i, (d * Load(gain + i, left) - v * along) * inverse, left);
    if (dgain != nullptr) Store(dgain + i, Load(dgain + i, left) + d * v * inverse, left);
  }
}

void RopeHead(const float* x, const float* cos, const float* sin, float direction, float* y, i64 half) {
  for (i64 i = 0; i < half; i += kLanes) {
    const i64 left = half - i;
    const Vec low = Load(x + i, left), high = Load(x + half + i, left);
    const Vec c = Load(cos + i, left), s = Load(sin + i, left) * direction;
    Store(y + i, low * c - high * s, left);
    Store(y + half + i, high * c + low * s, left);
  }
}

inline Vec Signs(Vec latent) { return Select(latent >= Vec{}, Splat(1.0f), Splat(-1.0f)); }

void SignRow(const float* latent, const float* g, float scale, float* w, i64 n) {
  for (i64 i = 0; i < n; i += kLanes)
    Store(w + i, Signs(Load(latent + i, n - i)) * Load(g + i, n - i) * scale, n - i);
}

float SignRowGradient(const float* r, const float* latent, const float* g, float h,
                      onebit::training::StraightThrough through, float* dlatent, float* dg, i64 n) {
  using onebit::training::StraightThrough;
  Vec dh{};
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec gradient = Load(r + i, left), factor = Load(g + i, left), weight = Load(latent + i, left);
    const Vec signed_gradient = gradient * Signs(weight);
    dh += signed_gradient * factor;
    Store(dg + i, Load(dg + i, left) + signed_gradient * h, left);
    Vec passed = gradient * factor * h;
    if (through == StraightThrough::kTanh) {
      const Vec t = 1.0f - 2.0f / (Exp(2.0f * weight) + 1.0f);
      passed = passed * (1.001f - t * t);
    } else if (through == StraightThrough::kClipped) {
      passed = Select(weight * weight <= Splat(1.0f), passed, Vec{});
    }
    Store(dlatent + i, passed, left);
  }
  return Sum(dh);
}

}  // namespace
