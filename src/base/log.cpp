#include "optpipe/base/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace optpipe {

void set_up_log(bool leader, Verbosity verbosity) {
  auto logger =
      std::make_shared<spdlog::logger>("optpipe", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("optpipe: %^%l%$: %v");
  const auto chatty = verbosity == Verbosity::debug    ? spdlog::level::debug
                      : verbosity == Verbosity::normal ? spdlog::level::info
                                                       : spdlog::level::warn;
  logger->set_level(leader ? chatty : std::max(chatty, spdlog::level::warn));
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace optpipe
