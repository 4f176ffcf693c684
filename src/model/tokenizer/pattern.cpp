#include "model/tokenizer/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <cstdint>

#include "model/tokenizer/utf8.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model::tokenizer {
namespace {

template <auto release>
struct Release {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Release<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>>;

// What one match may cost. The patterns here need a few steps a match, however long the text.
constexpr std::uint32_t kMatchLimit = 1'000'000;
constexpr std::uint32_t kDepthLimit = 100'000;
constexpr std::uint32_t kHeapLimitKiB = 64 * 1024;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  if (pcre2_get_error_message(error, text.data(), text.size()) < 0) return fmt::format("error {}", error);
  return reinterpret_cast<const char*>(text.data());
}

Code compile(const std::string& expression) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(), PCRE2_UTF,
                          &error, &offset, nullptr));
  if (!code)
    throw SystemError(
        fmt::format("pcre2_compile of the tokenizer's pattern failed at {}: {}; optpipe needs PCRE2 10.40 "
                    "or later, built with Unicode support",
                    offset, message_of(error)));
  return code;
}

}  // namespace

struct Pattern::Impl {
  Code code;
};

Pattern::Pattern(const std::string& expression) : impl_(std::make_unique<Impl>(Impl{compile(expression)})) {
  // Where the just-in-time compiler is missing or may not write code, matching goes on without it.
  static_cast<void>(pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE));
}
Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

struct Pattern::Matcher::Impl {
  const pcre2_code* code;
  MatchData data;
  MatchContext context;
};

Pattern::Matcher::Matcher(const Pattern& pattern) {
  const auto* code = pattern.impl_->code.get();
  impl_ = std::make_unique<Impl>(Impl{code, MatchData(pcre2_match_data_create_from_pattern(code, nullptr)),
                                      MatchContext(pcre2_match_context_create(nullptr))});
  if (!impl_->data || !impl_->context) throw std::bad_alloc();
  pcre2_set_match_limit(impl_->context.get(), kMatchLimit);
  pcre2_set_depth_limit(impl_->context.get(), kDepthLimit);
  pcre2_set_heap_limit(impl_->context.get(), kHeapLimitKiB);
}
Pattern::Matcher::~Matcher() = default;
Pattern::Matcher::Matcher(Matcher&&) noexcept = default;

std::size_t Pattern::Matcher::match_at(std::string_view text, std::size_t offset) {
  // Without PCRE2_NO_UTF_CHECK every match would check the whole text again.
  const int found = pcre2_match(impl_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), offset,
                                PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, impl_->data.get(), impl_->context.get());
  if (found == PCRE2_ERROR_NOMATCH) return 0;
  if (found < 0)
    throw SystemError(
        fmt::format("pcre2_match of the tokenizer's pattern at byte {} of a text of {} failed: {}", offset,
                    text.size(), message_of(found)));
  const auto* ends = pcre2_get_ovector_pointer(impl_->data.get());
  OPTPIPE_CHECK(ends[0] == offset && ends[1] >= offset, "match at {} of {}", ends[0], offset);
  return ends[1] - offset;
}

std::string white_space_class() {
  std::string text;
  for (const auto& [first, last] : kWhiteSpace)
    text += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<std::uint32_t>(first),
                        static_cast<std::uint32_t>(last));
  return text;
}

}  // namespace optpipe::model::tokenizer
