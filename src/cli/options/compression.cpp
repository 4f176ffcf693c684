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
void add_format(CLI::App& app, const std::string& option, const std::string& flag, StorageFormat& format,
                const std::string& what) {
  auto* named = app.add_option_function<std::string>(
                       option, [&format](const std::string& name) { format = format_named(name); },
                       what + ": native, 8bit or 4bit, in groups of 64 with a minimum and a scale")
                    ->check(CLI::IsMember({"native", "8bit", "4bit"}))
                    ->type_name("NAME")
                    ->default_str("native")
                    ->group(kGroup);
  app.add_flag_callback(
         flag, [&format] { format = StorageFormat::q4; }, "The same as " + option + " 4bit")
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
  add_format(app, "--weight-format", "--compress-weight", policy.weight_format,
             "Format of the layers' matrices");
  add_format(app, "--kv-format", "--compress-cache", policy.kv_format, "Format of the KV cache");
}

}  // namespace optpipe::cli
