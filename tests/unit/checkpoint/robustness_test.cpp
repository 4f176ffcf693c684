// Damaged files: every cut and every changed byte is refused with InputError or read within bounds. Nothing
// crashes (the sanitizer builds run this too), nothing else is thrown, and no size from a file becomes a
// large allocation.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <ostream>

#include "fixtures.hpp"
#include "optpipe/base/error.hpp"

namespace {
std::atomic<std::size_t> largest_allocation{0};
}

// Replaces the global operators of this executable, to see what is asked of them: those that do not throw as
// well, so that what one of them gives no other's counterpart takes back.
[[gnu::noinline]] void* operator new(std::size_t size) {
  auto largest = largest_allocation.load();
  while (size > largest && !largest_allocation.compare_exchange_weak(largest, size)) {
  }
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace optpipe::model {
namespace {

constexpr std::size_t kLargestAllocation = 1 << 20;  // the files have a few kB

struct Victim {
  std::string name;
  std::filesystem::path original;
  std::string file;                  // under which a folder holds it
  std::vector<std::string> tensors;  // to be read
};

void PrintTo(const Victim& victim, std::ostream* out) { *out << victim.file; }

std::string name_of_victim(const testing::TestParamInfo<Victim>& victim) { return victim.param.name; }

class DamagedFile : public testing::TestWithParam<Victim> {
 protected:
  // Whether a checkpoint of these bytes is refused, at opening or when one of its tensors is read.
  bool is_refused(std::string_view bytes) const {
    folder_.write(GetParam().file, bytes);
    largest_allocation = 0;
    bool refused = false;
    try {
      const auto checkpoint = open_checkpoint(folder_.path());
      for (const auto& name : GetParam().tensors) refused |= !read_all(*checkpoint, name);
    } catch (const InputError&) {
      refused = true;
    }
    EXPECT_LT(largest_allocation, kLargestAllocation);
    return refused;
  }

  std::string original_ = content_of(GetParam().original);

 private:
  // False if there is no such tensor, whose name may have been damaged.
  static bool read_all(const Checkpoint& checkpoint, const std::string& name) {
    const auto info = checkpoint.find(name);
    if (!info) return false;
    const auto elements = elements_of(*info);
    EXPECT_LE(elements, 1 << 16);
    std::vector<std::byte> out(static_cast<std::size_t>(elements) * size_of(info->dtype));
    checkpoint.read(name, 0, elements, out);
    return true;
  }

  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(
    All, DamagedFile,
    testing::Values(Victim{"safetensors",
                           fixture("small-safetensors/model.safetensors"),
                           "model.safetensors",
                           {"a", "b", "c"}},
                    Victim{"torch", fixture("small-torch/pytorch_model.bin"), "pytorch_model.bin", {"a"}},
                    Victim{"torch_views",
                           fixture("torch-odd/pytorch_model.bin"),
                           "pytorch_model.bin",
                           {"base", "transposed", "rows", "every_other", "expanded", "parameter", "cube"}},
                    Victim{"npy",
                           fixture("npy/little-np/decoder.embed_tokens.weight"),
                           "decoder.embed_tokens.weight",
                           {"decoder.embed_tokens.weight"}},
                    Victim{"index",
                           fixture("torch-sharded/pytorch_model.bin.index.json"),
                           "pytorch_model.bin.index.json",
                           {}}),
    name_of_victim);

TEST_P(DamagedFile, IsReadUndamaged) { EXPECT_FALSE(is_refused(original_)); }

TEST_P(DamagedFile, EveryCutIsRefused) {
  // Of the index only the newline after the last brace can be missed.
  const auto whole = original_.find_last_not_of('\n') + 1;
  const auto end = GetParam().name == "index" ? whole : original_.size();
  for (std::size_t length = 0; length < end; ++length)
    ASSERT_TRUE(is_refused(std::string_view(original_).substr(0, length))) << "cut to " << length << " bytes";
}

TEST_P(DamagedFile, EveryChangedByteIsSurvived) {
  const auto changes = {+[](char c) { return static_cast<char>(c ^ 0xff); },
                        +[](char c) { return static_cast<char>(c ^ 0x01); }, +[](char) { return '\0'; }};
  std::size_t refused = 0;
  for (std::size_t i = 0; i < original_.size(); ++i)
    for (const auto change : changes) {
      auto damaged = original_;
      damaged[i] = change(damaged[i]);
      ASSERT_NO_THROW(refused += is_refused(damaged)) << "byte " << i;
    }
  EXPECT_GT(refused, 0U);
}

}  // namespace
}  // namespace optpipe::model
