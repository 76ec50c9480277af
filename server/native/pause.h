// What a thread does that waits for another: Pause between two looks, Yield where the core may be needed.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#if !defined(__wasm__)
#include <thread>
#endif

#if defined(__wasm__)
// WebAssembly has no yield: JavaScript sleeps as short as it can.
extern "C" __attribute__((import_module("onebit"), import_name("short_sleep"))) void ShortSleep();
#endif

namespace onebit {

inline void Pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  asm volatile("yield");
#endif
}

inline void Yield() {
#if defined(__wasm__)
  ShortSleep();
#else
  std::this_thread::yield();
#endif
}

}  // namespace onebit
