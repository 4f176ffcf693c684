# optpipe_add_test(NAME SOURCES ... LIBRARIES ... [LABELS ...] [TIMEOUT seconds] [PROCESSORS n]): a GoogleTest
# executable, every test of which ctest knows by name.
find_package(GTest REQUIRED)
pkg_check_modules(LIBSECCOMP IMPORTED_TARGET libseccomp)  # for tests of what a container refuses
include(GoogleTest)

function(optpipe_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT;PROCESSORS" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  if(OPTPIPE_SANITIZE)  # ThreadSanitizer takes ten times as long
    math(EXPR arg_TIMEOUT "4 * ${arg_TIMEOUT}")
  endif()
  add_executable(test_${name} ${arg_SOURCES})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE OPTPIPE_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
  target_link_libraries(test_${name} PRIVATE ${arg_LIBRARIES} GTest::gmock_main)
  gtest_discover_tests(test_${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} LABELS "${arg_LABELS}")
endfunction()

# optpipe_add_mpi_test(NAME RANKS COMMAND ...): the command on so many ranks, on any machine: root or not, cores or not.
function(optpipe_add_mpi_test name ranks)
  add_test(NAME ${name} COMMAND bash -c
    "source '${CMAKE_SOURCE_DIR}/launch/mpi-flags.sh' && exec '${MPIEXEC_EXECUTABLE}' -n ${ranks} \"\${mpirun_flags[@]}\" \"$@\""
    mpi ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS mpi PROCESSORS 2
    ENVIRONMENT "OMP_NUM_THREADS=1;ASAN_OPTIONS=detect_leaks=0:exitcode=99")  # MPI keeps memory at its end
endfunction()
