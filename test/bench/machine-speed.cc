// What this machine could do: bytes read from memory a second, and int8 multiply-adds a second, by so many threads.
//   machine-speed THREADS SECONDS
// Prints {"readBytesPerSecond", "int8OpsPerSecond", "int8Instruction"}.
#include <immintrin.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <sys/mman.h>

namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs work(thread) on all threads at once and returns the seconds until the last has ended.
template <typename Work>
double Together(int threads, Work work) {
  std::atomic<int> ready{0};
  std::vector<std::thread> all;
  std::atomic<bool> go{false};
  for (int t = 0; t < threads; t++) {
    all.emplace_back([&, t] {
      ready++;
      while (!go.load()) std::this_thread::yield();
      work(t);
    });
  }
  while (ready.load() < threads) std::this_thread::yield();
  const double start = Now();
  go.store(true);
  for (auto& thread : all) thread.join();
  return Now() - start;
}

volatile uint64_t sink;

#if defined(__AVX512F__)
uint64_t Read(const char* p, size_t bytes) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i < bytes; i += 256) {
    a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_load_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_load_si512(p + i + 192));
  }
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d))));
}
#else
uint64_t Read(const char* p, size_t bytes) {
  uint64_t sum[8] = {};
  for (size_t i = 0; i < bytes; i += 64) {
    for (int j = 0; j < 8; j++) sum[j] ^= reinterpret_cast<const uint64_t*>(p + i)[j];
  }
  for (int j = 1; j < 8; j++) sum[0] ^= sum[j];
  return sum[0];
}
#endif

#if defined(__AVX512VNNI__)
constexpr const char* kInstruction = "vpdpbusd, 512 bits";
constexpr int kOpsAStep = 12 * 64;
uint64_t Multiply(int64_t steps) {
  __m512i sum[12], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto& s : sum) s = _mm512_setzero_si512();
  for (int64_t i = 0; i < steps; i++) {
    for (auto& s : sum) s = _mm512_dpbusd_epi32(s, a, b);
    asm volatile("" : "+v"(a), "+v"(b));
  }
  for (int j = 1; j < 12; j++) sum[0] = _mm512_add_epi32(sum[0], sum[j]);
  return static_cast<uint64_t>(_mm512_reduce_add_epi32(sum[0]));
}
#elif defined(__AVX2__)
constexpr const char* kInstruction = "vpmaddubsw, 256 bits";
constexpr int kOpsAStep = 8 * 32;
uint64_t Multiply(int64_t steps) {
  __m256i sum[8], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (auto& s : sum) s = _mm256_setzero_si256();
  for (int64_t i = 0; i < steps; i++) {
    for (auto& s : sum) s = _mm256_add_epi16(s, _mm256_maddubs_epi16(a, b));
    asm volatile("" : "+x"(a), "+x"(b));
  }
  for (int j = 1; j < 8; j++) sum[0] = _mm256_add_epi16(sum[0], sum[j]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sum[0], 0));
}
#else
constexpr const char* kInstruction = "";
constexpr int kOpsAStep = 0;
uint64_t Multiply(int64_t) { return 0; }
#endif

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  const size_t bytes = size_t{512} << 20;  // each: more than any cache
  std::vector<char*> memory(static_cast<size_t>(threads));
  for (char*& part : memory) {
    part = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (part == MAP_FAILED) return 1;
    madvise(part, bytes, MADV_HUGEPAGE);
  }
  Together(threads, [&](int t) {
    for (size_t i = 0; i < bytes; i += 64) memory[static_cast<size_t>(t)][i] = static_cast<char>(i >> 6);
  });
  // The best of many rounds: a machine that is shared gives less at times, never more.
  double read = 0, operations = 0;
  for (const double end = Now() + seconds; Now() < end;) {
    const double took = Together(threads, [&](int t) { sink = Read(memory[static_cast<size_t>(t)], bytes); });
    const double rate = static_cast<double>(bytes) * threads / took;
    read = rate > read ? rate : read;
  }
  const int64_t steps = 4'000'000;
  for (const double end = Now() + seconds; kOpsAStep > 0 && Now() < end;) {
    const double took = Together(threads, [&](int) { sink = Multiply(steps); });
    const double rate = 2.0 * kOpsAStep * static_cast<double>(steps) * threads / took;
    operations = rate > operations ? rate : operations;
  }
  std::printf("{\"readBytesPerSecond\": %.0f, \"int8OpsPerSecond\": %.0f, \"int8Instruction\": \"%s\"}\n", read,
              operations, kInstruction);
}
