#include "engine/tensor_source.h"

#include <cstdio>
#include <cstring>

namespace onebit {
namespace {

bool Seek(std::FILE* file, int64_t offset) {
#if defined(_WIN32)
  return _fseeki64(file, offset, SEEK_SET) == 0;
#else
  return fseeko(file, static_cast<off_t>(offset), SEEK_SET) == 0;
#endif
}

}  // namespace

TensorReader::TensorReader(const TensorSource& source) : source_(source) {
  if (source.file.empty()) return;
  std::FILE* file = std::fopen(source.file.c_str(), "rb");
  // Unbuffered: pieces are large and go where they belong without a copy.
  if (file != nullptr) std::setvbuf(file, nullptr, _IONBF, 0);
  file_ = file;
}

TensorReader::~TensorReader() {
  if (file_ != nullptr) std::fclose(static_cast<std::FILE*>(file_));
}

bool TensorReader::Read(int64_t start, int64_t size, void* target) {
  if (start < 0 || size < 0 || start + size > source_.bytes) return false;
  if (source_.file.empty()) {
    std::memcpy(target, source_.memory + start, static_cast<size_t>(size));
    return true;
  }
  auto* file = static_cast<std::FILE*>(file_);
  return file != nullptr && Seek(file, source_.offset + start) &&
         std::fread(target, 1, static_cast<size_t>(size), file) == static_cast<size_t>(size);
}

}  // namespace onebit
