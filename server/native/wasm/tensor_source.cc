// Tensors in WebAssembly: JavaScript reads, from the source that it has named to itself.
#include "engine/tensor_source.h"

extern "C" __attribute__((import_module("onebit"), import_name("read_tensor"))) int ReadTensor(double start, int size,
                                                                                              void* target);

namespace onebit {

TensorReader::TensorReader(const TensorSource& source) : source_(source) {}

TensorReader::~TensorReader() {}

bool TensorReader::Read(int64_t start, int64_t size, void* target) {
  if (start < 0 || size < 0 || start + size > source_.bytes) return false;
  return ReadTensor(static_cast<double>(start), static_cast<int>(size), target) != 0;
}

}  // namespace onebit
