// What is read from hwloc.
#include <gtest/gtest.h>
#include <unistd.h>

#include "optpipe/base/error.hpp"
#include "unit/topology/machine_xml.hpp"

namespace optpipe::topology {
namespace {

TEST(Machine, Synthetic) {
  const auto machine = Topology::synthetic("pack:2 [numa] core:12 pu:2").machine();
  ASSERT_EQ(machine.nodes.size(), 2u);
  ASSERT_EQ(machine.nodes[1].cores.size(), 12u);
  EXPECT_EQ(machine.nodes[1].cores[0], (IndexSet{24, 25}));
  EXPECT_EQ(machine.allowed_cpus.to_string(), "0-47");
  EXPECT_EQ(machine.allowed_nodes.to_string(), "0-1");
  EXPECT_TRUE(machine.devices.empty());
}

TEST(Machine, XmlWithGpus) {
  const auto topology = test::make_machine(test::lab_machine());
  const auto& machine = topology.machine();
  EXPECT_FALSE(topology.is_this_machine());
  ASSERT_EQ(machine.nodes.size(), 2u);
  EXPECT_EQ(machine.nodes[0].cores[11], (IndexSet{11, 35}));
  EXPECT_EQ(machine.nodes[0].memory, 67108864000u);
  EXPECT_EQ(machine.devices.size(), 4u);
  EXPECT_EQ(machine.nodes_near("0000:03:00.0"), IndexSet{0});
  EXPECT_EQ(machine.nodes_near("0000:82:00.0"), IndexSet{1});
}

TEST(Machine, BusIdsInAnySpelling) {
  const auto machine = test::make_machine(test::eight_gpus()).machine();
  EXPECT_EQ(machine.nodes_near("00000000:CB:00.0"), IndexSet{3});  // as NVML writes it
  EXPECT_EQ(machine.nodes_near("0000:CB:00.0"), IndexSet{3});
  EXPECT_TRUE(machine.nodes_near("0000:cc:00.0").empty());
  EXPECT_TRUE(machine.nodes_near("GPU 0").empty());
}

TEST(Machine, ADeviceOfUnknownPlaceIsNearAllNodes) {
  auto shape = test::lab_machine();
  shape.gpus = {{}, {}, {"0000:65:00.0"}};
  EXPECT_EQ(test::make_machine(shape).machine().nodes_near("0000:65:00.0").to_string(), "0-1");
}

TEST(Machine, WhatACgroupKeepsAwayIsThereButNotAllowed) {
  auto shape = test::lab_machine();
  shape.disallowed = IndexSet::parse("0-5,24-29");
  const auto machine = test::make_machine(shape).machine();
  EXPECT_EQ(machine.nodes[0].cores.size(), 12u);
  EXPECT_EQ(machine.allowed_cpus.to_string(), "6-23,30-47");
}

TEST(Machine, ThisOne) {
  const auto topology = Topology::live();
  ASSERT_FALSE(topology.machine().nodes.empty());
  const IndexSet cpus = topology.inherited_cpus();
  EXPECT_FALSE(cpus.empty());
  EXPECT_EQ(cpus, cpus & topology.machine().allowed_cpus);
}

TEST(Machine, SourcesThatCannotBeRead) {
  EXPECT_THROW(Topology::synthetic("pack:two"), InputError);
  EXPECT_THROW(Topology::from_xml("/nowhere/machine.xml"), InputError);
}

TEST(IndexSet, Text) {
  EXPECT_EQ(IndexSet::parse("24-35,0-11,5").to_string(), "0-11,24-35");
  EXPECT_EQ(IndexSet::parse("7").to_string(), "7");
  EXPECT_EQ(IndexSet::parse("").to_string(), "");
  for (const char* wrong : {"a", "1-", "-1", "1,,2", "1-2-3", "1 2", "99999999"})
    EXPECT_THROW(IndexSet::parse(wrong), InputError) << wrong;
}

TEST(IndexSet, Algebra) {
  const IndexSet low = IndexSet::parse("0-5"), high = IndexSet::parse("4-9");
  EXPECT_EQ((low & high).to_string(), "4-5");
  EXPECT_EQ((low - high).to_string(), "0-3");
  EXPECT_TRUE(low.overlaps(high));
  EXPECT_FALSE(low.overlaps(IndexSet{6}));
  EXPECT_TRUE(high.contains(9));
  EXPECT_FALSE(high.contains(10));
}

}  // namespace
}  // namespace optpipe::topology
