# How every target of the project is compiled, and the functions that make modules.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
# Line tables are what a backtrace needs; full debug information would double the build.
string(REPLACE "-O2 -g" "-O2 -g1" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
# Contracts are checked by OPTPIPE_CHECK in every build; debug and release behave alike.
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(optpipe_options INTERFACE)
target_include_directories(optpipe_options INTERFACE ${CMAKE_SOURCE_DIR}/include)
target_compile_options(optpipe_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-unknown-pragmas -Wno-missing-field-initializers>)
if(OPTPIPE_SANITIZE)
  target_compile_options(optpipe_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${OPTPIPE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(optpipe_options INTERFACE -fsanitize=${OPTPIPE_SANITIZE})
endif()

# optpipe_module(NAME SOURCES ... [PUBLIC library ...] [PRIVATE library ...]): the library optpipe_NAME of a module.
function(optpipe_module name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(optpipe_${name} STATIC ${arg_SOURCES})
  target_include_directories(optpipe_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(optpipe_${name} PUBLIC optpipe_options ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
endfunction()
