#include "cli/help_format.hpp"

#include <fmt/format.h>

#include <sstream>

namespace optpipe::cli {
namespace {

constexpr std::size_t kWidth = 80;
constexpr std::size_t kNameColumn = 30;

// `name`, and beside it `description` in as many lines as it takes.
std::string lay_out(const std::string& name, const std::string& description) {
  std::string text = fmt::format("  {}", name), line = text;
  const std::string indent(kNameColumn, ' ');
  if (line.size() >= kNameColumn) {
    text += '\n';
    line.clear();
  } else {
    text.clear();
  }
  line.resize(kNameColumn, ' ');
  std::istringstream words(description);
  for (std::string word; words >> word;) {
    const bool first = line.size() == kNameColumn;
    if (!first && line.size() + 1 + word.size() > kWidth) {
      text += line + '\n';
      line = indent + word;
    } else {
      line += first ? word : ' ' + word;
    }
  }
  return text + line + '\n';
}

class HelpFormat final : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    // A type's name is followed by its validators' after colons; their ranges only lengthen the line.
    const std::string type = option->get_type_name();
    std::string name = make_option_name(option, is_positional);
    if (option->get_type_size() != 0) name += ' ' + type.substr(0, type.find(':'));
    std::string description = make_option_desc(option);
    if (!option->get_default_str().empty()) description += fmt::format(" [{}]", option->get_default_str());
    return lay_out(name, description);
  }

  std::string make_subcommand(const CLI::App* command) const override {
    return lay_out(command->get_display_name(true), command->get_description());
  }

  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (std::size_t at; (at = text.find("\n\n\n")) != std::string::npos;) text.erase(at, 1);
    return text;
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> make_help_format() { return std::make_shared<HelpFormat>(); }

}  // namespace optpipe::cli
