#include "optpipe/base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <iterator>

namespace optpipe {
namespace {

// The message with control characters as \xNN: what files and command lines name may hold anything, but must
// neither begin a line of its own nor steer the terminal.
class OneLine final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    for (const char c : message.payload) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7f)
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
      else
        out.push_back(c);
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<OneLine>(); }
};

}  // namespace

void set_up_log(bool leader, Verbosity verbosity) {
  auto logger =
      std::make_shared<spdlog::logger>("optpipe", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<OneLine>('*').set_pattern("optpipe: %^%l%$: %*");
  logger->set_formatter(std::move(formatter));
  const auto chatty = verbosity == Verbosity::debug    ? spdlog::level::debug
                      : verbosity == Verbosity::normal ? spdlog::level::info
                                                       : spdlog::level::warn;
  logger->set_level(leader ? chatty : std::max(chatty, spdlog::level::warn));
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace optpipe
