#include "thread_pool.h"

#include "pause.h"

// JavaScript's Atomics.wait on a word of this memory, until it is no longer `seen`.
extern "C" __attribute__((import_module("onebit"), import_name("sleep_while"))) void SleepWhile(const int* word, int seen);

namespace onebit {
namespace {

constexpr int kSpins = 20000;  // tens of µs: the gap between two regions of a pass

int* Address(std::atomic<int>& word) { return reinterpret_cast<int*>(&word); }

}  // namespace

ThreadPool& ThreadPool::Shared() {
  static ThreadPool pool;
  return pool;
}

void ThreadPool::Run(Task task, void* context) {
  if (threads_ == 1) {
    task(context);
    return;
  }
  task_ = task;
  context_ = context;
  guests_.store(0);
  generation_.fetch_add(1);
  if (sleeping_.load() > 0) __builtin_wasm_memory_atomic_notify(Address(generation_), ~0u);
  task(context);
  // Close the door: who is inside finishes, nobody else enters.
  int inside = guests_.fetch_add(kClosed);
  for (int i = 0; inside > 0; i++) {
    if (i < kSpins) Pause();
    else Yield();
    inside = guests_.load() - kClosed;
  }
}

void ThreadPool::Work() {
  int seen = 0;
  for (;;) {
    for (int i = 0; generation_.load() == seen; i++) {
      if (i < kSpins) continue;
      sleeping_.fetch_add(1);
      SleepWhile(Address(generation_), seen);
      sleeping_.fetch_sub(1);
    }
    seen = generation_.load();
    int inside = guests_.load();
    while (inside >= 0 && !guests_.compare_exchange_weak(inside, inside + 1)) {
    }
    if (inside < 0) continue;
    task_(context_);
    guests_.fetch_sub(1);
  }
}

}  // namespace onebit
