// Rows of softmax, of the losses on logits, of attention's backward, and SwiGLU. Needs simd.inl.

namespace {

float HighestOf(const float* x, i64 n) {
  Vec best = Splat(-3.4e38f);
  for (i64 i = 0; i < n; i += kLanes) best = Max(best, Load(x + i, n - i, -3.4e38f));
  return Highest(best);
}

float LogSumExp(const float* x, i64 n) {
  const float highest = HighestOf(x, n);
  Vec total{};
  for (i64 i = 0; i < n; i += kLanes) total += Exp(Load(x + i, n - i, -3.4e38f) - highest);
  return highest + __builtin_logf(Sum(total));
}

float ExpRow(const float* x, float scale, float shift, float* y, i64 n) {
  Vec total{};
  const i64 whole = n / kLanes * kLanes;
  for (i64 i = 0; i < whole; i += kLanes) {
    const Vec e = Exp(Load(x + i) * scale - shift);
    total += e;
    Store(y + i, e);
  }
  float sum = Sum(total);
  if (whole < n) {
    float lanes[kLanes];
    Store(lanes, Exp(Load(x + whole, n - whole) * scale - shift));
    for (i64 i = whole; i < n; i++) sum += y[i] = lanes[i - whole];
  }
  return sum;
}

float KlRow(const float* teacher, float teacher_log, const float* student, float student_log, i64 n) {
  Vec total{};
  for (i64 i = 0; i < n; i += kLanes) {
    const Vec t = Load(teacher + i, n - i, -3.0e38f) - teacher_log;
    const Vec s = Load(student + i, n - i, -3.0e38f) - student_log;
    const Vec p = Exp(t);
    total += Select(p > Vec{}, p * (t - s), Vec{});
  }
  return Sum(total);
}

void KlRowGradient(const float* teacher, float teacher_log, const float* student, float student_log, float factor,
                   float* d, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec q = Exp(Load(student + i, left) - student_log), p = Exp(Load(teacher + i, left) - teacher_log);
    Store(d + i, (q - p) * factor, left);
  }
}

void AttentionRowGradient(float* s, float* dp, float scale, float log_sum, float delta, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec p = Exp(Load(s + i, left) * scale - log_sum);
    Store(dp + i, p * (Load(dp + i, left) - delta) * scale, left);
    Store(s + i, p, left);
  }
}

void Swiglu(const float* gate, const float* up, float* y, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec z = Load(gate + i, left);
    Store(y + i, z * Sigmoid(z) * Load(up + i, left), left);
  }
}

void SwigluGradient(const float* dy, const float* gate, const float* up, float* dgate, float* dup, i64 n) {
  for (i64 i = 0; i < n; i += kLanes) {
    const i64 left = n - i;
    const Vec z = Load(gate + i, left), u = Load(up + i, left), d = Load(dy + i, left);
    const Vec sigmoid = Sigmoid(z), silu = z * sigmoid;
    Store(dup + i, d * silu, left);
    Store(dgate + i, d * u * (sigmoid + silu - silu * sigmoid), left);
  }
}

}  // namespace
