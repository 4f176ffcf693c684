#include "optpipe/planner/refusal.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace optpipe::planner {
namespace {

// "rank 3", "ranks 0-3", "ranks 0, 4 and 2 more".
std::string name_ranks(const std::vector<int>& ranks) {
  if (ranks.size() == 1) return fmt::format("rank {}", ranks.front());
  if (ranks.back() - ranks.front() + 1 == static_cast<int>(ranks.size()))
    return fmt::format("ranks {}-{}", ranks.front(), ranks.back());
  if (ranks.size() == 2) return fmt::format("ranks {} and {}", ranks[0], ranks[1]);
  return fmt::format("ranks {}, {} and {} more", ranks[0], ranks[1], ranks.size() - 2);
}

const char* name_of_memory(Place place) {
  if (place == Place::gpu) return "GPU memory";
  return place == Place::disk ? "disk space" : "host memory";
}

std::string largest_classes(const Shortage& shortage) {
  constexpr std::size_t kShown = 3;
  std::vector<std::pair<Bytes, MemoryClass>> classes;
  for (const MemoryClass what : kMemoryClasses) {
    const Bytes bytes = shortage.place == Place::plain ? shortage.ledger.host(what)
                                                       : shortage.ledger.at(shortage.place, what);
    if (bytes > 0) classes.emplace_back(bytes, what);
  }
  std::ranges::stable_sort(classes, std::greater{}, [](const auto& each) { return each.first; });
  std::vector<std::string> texts;
  for (const auto& [bytes, what] : classes)
    if (texts.size() < kShown) texts.push_back(fmt::format("{} {}", name_of(what), format_bytes(bytes)));
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string describe(const Shortage& s) {
  return fmt::format("{} on {} want{} {} of {} ({}), but {} are left ({})", name_ranks(s.ranks), s.where,
                     s.ranks.size() == 1 ? "s" : "", format_bytes(s.wanted), name_of_memory(s.place),
                     largest_classes(s), format_bytes(s.available), s.source);
}

// Formats other than the model's own, as flags.
std::string format_flags(const memory::Policy& policy) {
  std::string text;
  if (is_quantized(policy.weight_format))
    text += fmt::format(" --weight-format {}", name_of(policy.weight_format));
  if (is_quantized(policy.kv_format) || policy.x_cache)
    text += fmt::format(" --kv-format {}", policy.kv_format_name());
  return text;
}

// Other formats change tokens, so they are a way out beside the nearest policy and never a part of it. The X
// cache, which rounds as little as keys and values do, comes first, where attention can work on it.
std::string compressed_way_out(const RunRequest& run, const memory::Policy& asked) {
  struct Choice {
    bool weights, kv, x;
    const char* flags;
  };
  for (const Choice& choice :
       {Choice{false, false, true, "--kv-format x"}, Choice{true, false, false, "--compress-weight"},
        Choice{false, true, false, "--compress-cache"},
        Choice{true, true, false, "--compress-weight --compress-cache"}}) {
    const bool fits_x = asked.attention == memory::AttentionPlace::gpu && asked.attention_sparsity >= 1 &&
                        !is_quantized(asked.kv_format);
    if (choice.x && !fits_x) continue;
    memory::Policy policy = asked;
    if (choice.x) policy.x_cache = true;
    if (choice.weights) policy.weight_format = StorageFormat::q4;
    if (choice.kv) policy.kv_format = StorageFormat::q4, policy.x_cache = false;
    if (find_shortages(run, plan_run(run, policy)).empty())
      return fmt::format("; with {} all of it fits as asked, but tokens may differ", choice.flags);
  }
  return {};
}

}  // namespace

std::string refusal(const RunRequest& run, const memory::Policy& asked,
                    const std::vector<Shortage>& shortages) {
  std::string text = fmt::format("{} does not fit: {}", run.config.name, describe(shortages.front()));
  if (shortages.size() > 1) text += fmt::format("; {} more of the like", shortages.size() - 1);
  if (const auto nearest = find_nearest(run, asked))
    text += fmt::format("; the nearest policy that fits: {}{} ({})", flags_of(nearest->policy),
                        format_flags(nearest->policy), fmt::join(nearest->changes, ", "));
  else
    text += "; no smaller batch and no other --percent fits: use more ranks, or a larger machine";
  return text + compressed_way_out(run, asked);
}

}  // namespace optpipe::planner
