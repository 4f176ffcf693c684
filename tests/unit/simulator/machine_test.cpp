#include "optpipe/simulator/machine.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "optpipe/base/error.hpp"

namespace optpipe::simulator {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal(const nlohmann::json& json) {
  try {
    machine_from_json(json, "box.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Machine, KnownOnesSurviveTheRoundTrip) {
  for (const auto& name : known_machines()) {
    const auto json = to_json(load_machine(name));
    EXPECT_EQ(to_json(machine_from_json(json, "again")), json) << name;
  }
  EXPECT_THAT(known_machines(), Contains("h100"));
  EXPECT_THAT(known_machines(), Contains("h200x4"));
}

TEST(Machine, WhatIsWrongIsNamed) {
  const auto good = to_json(load_machine("h100"));
  ASSERT_EQ(refusal(good), "");
  const auto with = [&](const char* pointer, const nlohmann::json& value) {
    auto changed = good;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    return refusal(changed);
  };
  EXPECT_THAT(with("/copies/in_bytes_s", -1), HasSubstr("box.json: copies.in_bytes_s is -1"));
  EXPECT_THAT(with("/copies/in_bytes_s", "fast"), HasSubstr("copies.in_bytes_s is no number"));
  EXPECT_THAT(with("/device/products", nlohmann::json::array()), HasSubstr("device.products"));
  EXPECT_THAT(with("/device/products", {{{"rows", 8}, {"flops_s", 1e9}}, {{"rows", 8}, {"flops_s", 1e9}}}),
              HasSubstr("order"));
  EXPECT_THAT(with("/devices", 1.5), HasSubstr("devices is no count"));
  EXPECT_THAT(with("/network", 7), HasSubstr("network"));
  auto missing = good;
  missing["disk"].erase("read_bytes_s");
  EXPECT_THAT(refusal(missing), HasSubstr("disk.read_bytes_s is missing"));
  EXPECT_THAT(refusal(nlohmann::json::array()), Not(testing::IsEmpty()));
}

// What cores attend to in codes was added later.
TEST(Machine, AttentionOverCodesNeedNotBeKnown) {
  auto json = to_json(load_machine("h100"));
  json["host_memory"]["attention_4bit_bytes_s"] = 40e9;
  json["host_memory"].erase("attention_8bit_bytes_s");
  const auto memory = machine_from_json(json, "box.json").host_memory;
  EXPECT_DOUBLE_EQ(memory.attention_bytes_s(StorageFormat::q4), 40e9);
  EXPECT_DOUBLE_EQ(memory.attention_bytes_s(StorageFormat::q8),
                   HostMemory::kCodesOfReading * memory.cores_bytes_s);
  EXPECT_DOUBLE_EQ(memory.attention_bytes_s(StorageFormat::native), memory.cores_bytes_s);
  json["host_memory"]["attention_4bit_bytes_s"] = -1;
  EXPECT_THAT(refusal(json), HasSubstr("attention_4bit_bytes_s is -1"));
}

TEST(Machine, AFileThatIsNotThereIsRefusedWithTheNamesThatAre) {
  try {
    load_machine("/nowhere/box.json");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("h100"));
  }
}

TEST(Machine, ProductRatesLieBetweenTheirNeighbours) {
  const std::vector<ProductRate> rates{{10, 100}, {1000, 400}};
  EXPECT_DOUBLE_EQ(product_rate(rates, 10), 100);
  EXPECT_NEAR(product_rate(rates, 100), 200, 1e-9);  // half way between the logarithms
  EXPECT_DOUBLE_EQ(product_rate(rates, 5000), 400);
  EXPECT_DOUBLE_EQ(product_rate(rates, 1), 10);  // the same weights take the same time
}

}  // namespace
}  // namespace optpipe::simulator
