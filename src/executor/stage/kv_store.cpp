#include "executor/stage/kv_store.hpp"

#include "optpipe/base/check.hpp"

namespace optpipe::executor {

using memory::KvSegment;
using memory::Tier;

KvStore::KvStore(const planner::KvPlan& plan, memory::DiskFile& disk, const TierMemory& memory)
    : disk_(disk),
      device_("the KV cache on the device", plan.bytes[0] + plan.all_slots(), memory.device),
      host_("the KV cache on the host", plan.bytes[1] + plan.all_stages(), memory.host) {
  // Stages first: whole pages each, from the page on which the arena begins.
  for (int i = 0; i < plan.stages; ++i) stages_.push_back(host_.take(plan.stage_bytes));
  for (int i = 0; i < plan.write_stages; ++i) write_stages_.push_back(host_.take(plan.stage_bytes));
  device_home_ = device_.take(plan.bytes[0]);
  host_home_ = host_.take(plan.bytes[1]);
  disk_home_ = disk.take(plan.bytes[2]);
  for (int i = 0; i < plan.slots; ++i) slots_.push_back(device_.take(plan.slot_bytes));
}

void KvStore::begin(memory::KvLayout layout) { layout_ = std::move(layout); }

namespace {

// Calls visit(segment, span) for each segment on `tier` of a sequence that has rows.
template <class Visit>
void for_each_segment(const memory::KvBlock& block, const BatchRows& rows, Visit visit) {
  auto span = rows.spans.begin();
  for (const KvSegment& segment : block.segments) {
    while (span != rows.spans.end() && span->sequence < segment.sequence) ++span;
    if (span == rows.spans.end()) return;
    if (span->sequence == segment.sequence) visit(segment, *span);
  }
}

// Calls copy(offset, bytes) for each array (keys and values, or X) of positions [first, first + count) of a
// segment.
template <class Copy>
void for_arrays(const KvSegment& segment, std::int64_t first, std::int64_t count, Copy copy) {
  if (count == 0) return;
  const Bytes skip = static_cast<Bytes>(first) * segment.row_bytes,
              bytes = static_cast<Bytes>(count) * segment.row_bytes;
  copy(segment.offset + skip, bytes);
  if (segment.arrays > 1) copy(segment.value_offset() + skip, bytes);
}

std::byte* at(std::span<std::byte> memory, Bytes offset) { return memory.data() + offset; }

// Copies to a slot, in the order of memory: arrays with little between them go as one.
class JoinedCopies {
 public:
  explicit JoinedCopies(Copier& copier) : copier_(copier) {}
  void add(std::byte* to, const std::byte* from, Bytes bytes) {
    const bool is_behind = bytes_ > 0 && from >= from_ + bytes_ && to - to_ == from - from_;
    if (is_behind && static_cast<Bytes>(from - from_) - bytes_ <= memory::kJoinedBytes) {
      bytes_ = static_cast<Bytes>(from - from_) + bytes;
      return;
    }
    finish();
    to_ = to, from_ = from, bytes_ = bytes;
  }
  void finish() {
    if (bytes_ > 0) copier_.copy(to_, from_, bytes_);
    bytes_ = 0;
  }

 private:
  Copier& copier_;
  std::byte* to_ = nullptr;
  const std::byte* from_ = nullptr;
  Bytes bytes_ = 0;
};

// Prompts are attended on the device whole; new rows of what CPU cores attend to never come there.
bool is_elsewhere(const KvSegment& segment, const BatchRows& rows) {
  return segment.on_cpu && rows.prompt_rows == 0;
}

KvStore::Segment in_use(const KvSegment& segment, const RowSpan& span, std::byte* keys,
                        StorageFormat format) {
  return {span,
          keys,
          segment.arrays > 1 ? keys + (segment.value_offset() - segment.offset) : nullptr,
          segment.first_head,
          segment.heads,
          segment.positions,
          format};
}

}  // namespace

std::byte* KvStore::on_device(const Place& place, const KvSegment& segment) const {
  if (segment.tier == Tier::device)
    return at(device_home_, place.block->base_on(Tier::device)) + segment.offset;
  OPTPIPE_CHECK(place.slot >= 0 && static_cast<std::size_t>(place.slot) < slots_.size(),
                "a step whose keys and values are not on the device has slot {} of {} for them", place.slot,
                slots_.size());
  const Bytes before = segment.tier == Tier::disk ? place.block->on(Tier::host) : 0;
  return at(slots_[static_cast<std::size_t>(place.slot)], before) + segment.offset;
}

void KvStore::read(const Place& place, const BatchRows& rows, std::int32_t stage) {
  const auto to = stages_[static_cast<std::size_t>(stage)];
  std::vector<memory::DiskRange> ranges;
  for_each_segment(*place.block, rows, [&](const KvSegment& segment, const RowSpan& span) {
    if (segment.tier != Tier::disk) return;
    for_arrays(segment, 0, span.position, [&](Bytes offset, Bytes bytes) {
      ranges.push_back({disk_home_ + place.block->base_on(Tier::disk) + offset, to.subspan(offset, bytes)});
    });
  });
  disk_.read(ranges);
}

void KvStore::load(const Place& place, const BatchRows& rows, std::int32_t stage, Copier& copier) {
  JoinedCopies copies(copier);
  for (const Tier tier : {Tier::host, Tier::disk}) {
    for_each_segment(*place.block, rows, [&](const KvSegment& segment, const RowSpan& span) {
      if (segment.tier != tier || segment.on_cpu) return;
      const std::byte* from = tier == Tier::host ? at(host_home_, place.block->base_on(Tier::host))
                                                 : stages_[static_cast<std::size_t>(stage)].data();
      std::byte* to = on_device(place, segment) - segment.offset;
      for_arrays(segment, 0, span.position,
                 [&](Bytes offset, Bytes bytes) { copies.add(to + offset, from + offset, bytes); });
    });
    copies.finish();
  }
}

void KvStore::store(const Place& place, const BatchRows& rows, std::int32_t stage, Copier& copier) {
  for_each_segment(*place.block, rows, [&](const KvSegment& segment, const RowSpan& span) {
    if (segment.tier == Tier::device || is_elsewhere(segment, rows)) return;
    std::byte* to = segment.tier == Tier::host ? at(host_home_, place.block->base_on(Tier::host))
                                               : write_stages_[static_cast<std::size_t>(stage)].data();
    const std::byte* from = on_device(place, segment) - segment.offset;
    for_arrays(segment, span.position, span.count,
               [&](Bytes offset, Bytes bytes) { copier.copy(to + offset, from + offset, bytes); });
  });
}

void KvStore::write(const Place& place, const BatchRows& rows, std::int32_t stage) {
  const auto from = write_stages_[static_cast<std::size_t>(stage)];
  std::vector<memory::ConstDiskRange> ranges;
  for_each_segment(*place.block, rows, [&](const KvSegment& segment, const RowSpan& span) {
    if (segment.tier != Tier::disk) return;
    for_arrays(segment, span.position, span.count, [&](Bytes offset, Bytes bytes) {
      ranges.push_back({disk_home_ + place.block->base_on(Tier::disk) + offset, from.subspan(offset, bytes)});
    });
  });
  disk_.write(ranges);
}

std::vector<KvStore::Segment> KvStore::segments(const Place& place, const BatchRows& rows) const {
  std::vector<Segment> segments;
  for_each_segment(*place.block, rows, [&](const KvSegment& segment, const RowSpan& span) {
    if (!is_elsewhere(segment, rows))
      segments.push_back(in_use(segment, span, on_device(place, segment), layout_.format.format));
  });
  return segments;
}

std::vector<KvStore::Segment> KvStore::cpu_segments(const Place& place, const BatchRows& rows) const {
  std::vector<Segment> segments;
  std::byte* home = at(host_home_, place.block->base_on(Tier::host));
  for_each_segment(*place.block, rows, [&](const KvSegment& segment, const RowSpan& span) {
    if (segment.on_cpu)
      segments.push_back(in_use(segment, span, home + segment.offset, layout_.format.format));
  });
  return segments;
}

}  // namespace optpipe::executor
