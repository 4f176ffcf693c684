# optpipe_add_test(NAME SOURCES ... LIBRARIES ... [LABELS ...] [TIMEOUT seconds]): a GoogleTest executable, every test
# of which ctest knows by name.
find_package(GTest REQUIRED)
include(GoogleTest)

function(optpipe_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(test_${name} ${arg_SOURCES})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE OPTPIPE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
  target_link_libraries(test_${name} PRIVATE ${arg_LIBRARIES} GTest::gmock_main)
  gtest_discover_tests(test_${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
