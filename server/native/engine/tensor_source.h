// Where a tensor's bytes come from: a range of a file, or memory that the caller keeps alive.
//
// Files are read, not mapped: the kernels want 2 MB pages and an order of their own, a mapping would
// count twice while both exist, and a file that is truncated under a mapping kills the process.
#pragma once

#include <cstdint>
#include <string>

namespace onebit {

struct TensorSource {
  std::string file;  // empty: memory
  int64_t offset = 0;
  const uint8_t* memory = nullptr;
  int64_t bytes = 0;
};

// Reads pieces of a source; one reader a thread.
class TensorReader {
 public:
  explicit TensorReader(const TensorSource& source);
  ~TensorReader();
  TensorReader(const TensorReader&) = delete;
  TensorReader& operator=(const TensorReader&) = delete;

  // Copies [start, start + size) of the tensor. False if the file cannot be read or has become shorter.
  bool Read(int64_t start, int64_t size, void* target);

 private:
  const TensorSource& source_;
  void* file_ = nullptr;
};

}  // namespace onebit
