# Third-party libraries; CONTRIBUTING.md says why each is here.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(MINIZIP REQUIRED IMPORTED_TARGET minizip)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)

if(OPTPIPE_OPENMP)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()

if(OPTPIPE_MPI)
  find_package(MPI COMPONENTS CXX)
  if(NOT MPI_CXX_FOUND)
    message(STATUS "MPI not found: several ranks will not be available")
  endif()
endif()

set(OPTPIPE_HAVE_CUDA OFF)
if(NOT OPTPIPE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(OPTPIPE_HAVE_CUDA ON)
    # By default for the GPU that is here; elsewhere for T4 and H100 (others compile the program's PTX when it starts). For a
    # program that travels: -DCMAKE_CUDA_ARCHITECTURES="75;80;86;90".
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      execute_process(COMMAND nvidia-smi -L OUTPUT_VARIABLE gpus ERROR_QUIET)
      if(gpus MATCHES "GPU 0")
        set(CMAKE_CUDA_ARCHITECTURES native)
      else()
        set(CMAKE_CUDA_ARCHITECTURES 75 90)
      endif()
    endif()
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # some CMake 3.25 do not know that nvcc takes it
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit REQUIRED)
  elseif(OPTPIPE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "OPTPIPE_CUDA=ON, but no nvcc was found: install the CUDA toolkit, put nvcc on PATH, or "
                        "choose OPTPIPE_CUDA=OFF")
  endif()
endif()
