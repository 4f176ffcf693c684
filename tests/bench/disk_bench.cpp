// The disk tier beside what dd would get: reads and writes of 64 MiB with O_DIRECT, one after another.
//   bench_disk [--dir=FOLDER] [--gib=1]
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"

namespace optpipe::memory {
namespace {

std::string directory = std::filesystem::temp_directory_path();
Bytes size = kGiB;

struct Fixture {
  explicit Fixture(const DiskOptions& options)
      : arena("benchmark", size, pages), memory(arena.take(size)), file(directory, size, options) {
    file.write(0, memory);
  }
  HostPages pages;
  Arena arena;
  std::span<std::byte> memory;
  DiskFile file;
};

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(size));
}

// As `dd bs=64M iflag=direct` does.
void dd(benchmark::State& state, bool write) {
  Fixture fixture({});
  const int direct =
      open(("/proc/self/fd/" + std::to_string(fixture.file.descriptor())).c_str(), O_RDWR | O_DIRECT);
  if (direct < 0) return state.SkipWithError("the file system refuses O_DIRECT");
  constexpr Bytes kBlock = 64 * kMiB;
  for (auto _ : state)
    for (Bytes at = 0; at + kBlock <= size; at += kBlock) {
      const auto offset = static_cast<off_t>(at);
      const ssize_t count = write ? pwrite(direct, fixture.memory.data() + at, kBlock, offset)
                                  : pread(direct, fixture.memory.data() + at, kBlock, offset);
      if (count != static_cast<ssize_t>(kBlock)) return state.SkipWithError("short transfer");
    }
  count_bytes(state);
  close(direct);
}

void disk_file(benchmark::State& state, bool write, const DiskOptions& options) {
  Fixture fixture(options);
  state.SetLabel(fixture.file.describe());
  const auto range = static_cast<Bytes>(state.range(0));
  std::vector<DiskRange> ranges;
  std::vector<ConstDiskRange> const_ranges;
  for (Bytes at = 0; at + range <= size; at += range) {
    ranges.push_back({at, fixture.memory.subspan(at, range)});
    const_ranges.push_back({at, fixture.memory.subspan(at, range)});
  }
  for (auto _ : state) {
    if (write)
      fixture.file.write(const_ranges);
    else
      fixture.file.read(ranges);
  }
  count_bytes(state);
}

void add(const char* name, bool write, const DiskOptions& options) {
  benchmark::RegisterBenchmark(name, disk_file, write, options)
      ->ArgName("range")
      ->Arg(64 << 20)
      ->Arg(1 << 20)
      ->Arg(300000)  // not of whole pages
      ->UseRealTime()
      ->Iterations(2)
      ->Unit(benchmark::kMillisecond);
}

void add_all() {
  for (const bool write : {false, true})
    benchmark::RegisterBenchmark(write ? "dd/write" : "dd/read", dd, write)
        ->UseRealTime()
        ->Iterations(2)
        ->Unit(benchmark::kMillisecond);
  add("DiskFile/read", false, {});
  add("DiskFile/read/threads", false, {.uring = false});
  add("DiskFile/read/checksums", false, {.checksums = true});
  add("DiskFile/write", true, {});
}

}  // namespace
}  // namespace optpipe::memory

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("--dir=")) optpipe::memory::directory = word.substr(6);
    if (word.starts_with("--gib=")) optpipe::memory::size = std::stoul(word.substr(6)) * optpipe::kGiB;
  }
  optpipe::memory::add_all();
  benchmark::RunSpecifiedBenchmarks();
}
