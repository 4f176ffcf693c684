#include <functional>

#include "cli/options/groups.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kGroup = "Compression";

StorageFormat format_named(const std::string& name) {
  for (const StorageFormat format : {StorageFormat::q8, StorageFormat::q4})
    if (name == name_of(format)) return format;
  return StorageFormat::native;
}

// An option that names a format, and FlexGen's flag for 4 bits.
struct FormatOption {
  std::string name, flag, help;
  std::vector<std::string> others;  // besides the storage formats
};
void add_format(CLI::App& app, const FormatOption& option, StorageFormat& format,
                const std::function<void(const std::string&)>& choose) {
  auto names = option.others;
  names.insert(names.begin(), {"native", "8bit", "4bit"});
  auto* named = app.add_option_function<std::string>(option.name, choose, option.help)
                    ->check(CLI::IsMember(names))
                    ->type_name("NAME")
                    ->default_str("native")
                    ->group(kGroup);
  app.add_flag_callback(
         option.flag, [&format] { format = StorageFormat::q4; }, "The same as " + option.name + " 4bit")
      ->excludes(named)
      ->group(kGroup);
}

}  // namespace

void add_quantize_options(CLI::App& app, QuantizeOptions& o) {
  add_model_options(app, o.model);
  app.add_option("--output", o.output, "New folder for the quantized checkpoint")
      ->type_name("DIR")
      ->group("Output");
  app.add_option_function<std::string>(
         "--weight-format", [&o](const std::string& name) { o.format = format_named(name); },
         "Format of the layers' matrices: 8bit or 4bit")
      ->check(CLI::IsMember({"8bit", "4bit"}))
      ->type_name("NAME")
      ->default_str("4bit")
      ->group(kGroup);
}

void check(const QuantizeOptions& o) {
  if (o.model.model.empty())
    throw UsageError("--model is missing: name a checkpoint folder; see optpipe quantize --help");
  if (o.output.empty())
    throw UsageError("--output is missing: name the folder to write; see optpipe quantize --help");
}

void add_compression_options(CLI::App& app, memory::Policy& policy) {
  constexpr const char* kFormats = ": native, 8bit or 4bit, in groups of 64 with a minimum and a scale";
  add_format(
      app,
      {"--weight-format", "--compress-weight", std::string("Format of the layers' matrices") + kFormats, {}},
      policy.weight_format,
      [&policy](const std::string& name) { policy.weight_format = format_named(name); });
  add_format(app,
             {"--kv-format",
              "--compress-cache",
              std::string("Format of the KV cache") + kFormats +
                  "; or x, the attention block's input in place of keys and values: half the bytes",
              {"x"}},
             policy.kv_format, [&policy](const std::string& name) {
               policy.x_cache = name == "x";
               policy.kv_format = format_named(name);
             });
}

}  // namespace optpipe::cli
