// Elementwise arithmetic, reductions of a row, and Adam. Needs simd.inl and kernels.h.

namespace {

using onebit::training::AdamStep;
using onebit::training::Binary;
using onebit::training::Unary;

float Dot(const float* a, const float* b, i64 n) {
  Vec total[4] = {};
  i64 i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int j = 0; j < 4; j++) total[j] += Load(a + i + j * kLanes) * Load(b + i + j * kLanes);
  for (; i < n; i += kLanes) total[0] += Load(a + i, n - i) * Load(b + i, n - i);
  return Sum((total[0] + total[1]) + (total[2] + total[3]));
}

float SumOf(const float* x, i64 n) {
  Vec total{};
  for (i64 i = 0; i < n; i += kLanes) total += Load(x + i, n - i);
  return Sum(total);
}

float Difference(const float* x, float a, const float* y, float b, i64 n) {
  Vec total{};
  for (i64 i = 0; i < n; i += kLanes) {
    const Vec d = Load(x + i, n - i) * a - Load(y + i, n - i) * b;
    total += d * d;
  }
  return Sum(total);
}

void Blend(float a, const float* x, float b, const float* y, float* z, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) Store(z + i, Load(x + i, n - i) * a + Load(y + i, n - i) * b, n - i);
}

void Combine(float a, const float* x, float b, float* y, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) Store(y + i, Load(x + i, n - i) * a + Load(y + i, n - i) * b, n - i);
}

void Adam(float* p, const float* g, float* m, float* v, i64 n, const AdamStep& step) {
  const float coupled = step.decoupled ? 0.0f : step.weight_decay;
  const float keep = step.decoupled ? 1.0f - step.learning_rate * step.weight_decay : 1.0f;
  const float rate = step.learning_rate * step.correction1;
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec value = Load(p + i, left);
    const Vec gradient = Load(g + i, left) * step.gradient_scale + value * coupled;
    const Vec first = Load(m + i, left) * step.beta1 + gradient * (1.0f - step.beta1);
    const Vec second = Load(v + i, left) * step.beta2 + gradient * gradient * (1.0f - step.beta2);
    Store(m + i, first, left);
    Store(v + i, second, left);
    Store(p + i, value * keep - first * rate / (Sqrt(second * step.correction2) + step.epsilon), left);
  }
}

template <typename F>
inline void Map(const float* a, const float* b, float* y, i64 n, F f) {
  for (i64 i = 0; i < n; i += kLanes) Store(y + i, f(Load(a + i, n - i), Load(b + i, n - i)), n - i);
}

template <typename F>
inline void Map(const float* x, float* y, i64 n, F f) {
  for (i64 i = 0; i < n; i += kLanes) Store(y + i, f(Load(x + i, n - i)), n - i);
}

void BinaryOf(Binary op, const float* a, const float* b, float* y, i64 n) {
  switch (op) {
    case Binary::kAdd: return Map(a, b, y, n, [](Vec p, Vec q) { return p + q; });
    case Binary::kSubtract: return Map(a, b, y, n, [](Vec p, Vec q) { return p - q; });
    case Binary::kMultiply: return Map(a, b, y, n, [](Vec p, Vec q) { return p * q; });
    case Binary::kDivide: return Map(a, b, y, n, [](Vec p, Vec q) { return p / q; });
  }
}

void BinaryNumber(Binary op, const float* a, float number, bool first, float* y, i64 n) {
  switch (op) {
    case Binary::kAdd: return Map(a, y, n, [=](Vec p) { return p + number; });
    case Binary::kSubtract:
      if (first) return Map(a, y, n, [=](Vec p) { return number - p; });
      return Map(a, y, n, [=](Vec p) { return p - number; });
    case Binary::kMultiply: return Map(a, y, n, [=](Vec p) { return p * number; });
    case Binary::kDivide:
      if (first) return Map(a, y, n, [=](Vec p) { return number / p; });
      return Map(a, y, n, [=](Vec p) { return p / number; });
  }
}

void UnaryOf(Unary op, const float* x, float number, float* y, i64 n) {
  switch (op) {
    case Unary::kExp: return Map(x, y, n, [](Vec v) { return Exp(v); });
    case Unary::kSqrt: return Map(x, y, n, [](Vec v) { return Sqrt(v); });
    case Unary::kRsqrt: return Map(x, y, n, [](Vec v) { return 1.0f / Sqrt(v); });
    case Unary::kSquare: return Map(x, y, n, [](Vec v) { return v * v; });
    case Unary::kNegate: return Map(x, y, n, [](Vec v) { return -v; });
    case Unary::kSigmoid: return Map(x, y, n, [](Vec v) { return Sigmoid(v); });
    case Unary::kScale: return Map(x, y, n, [=](Vec v) { return v * number; });
    case Unary::kOffset: return Map(x, y, n, [=](Vec v) { return v + number; });
  }
}

}  // namespace
