// How --help looks: options by group, descriptions wrapped to the width of a terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace optpipe::cli {

std::shared_ptr<CLI::FormatterBase> make_help_format();

}  // namespace optpipe::cli
