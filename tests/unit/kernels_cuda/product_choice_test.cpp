// Algorithms chosen by their times: whichever of them wins, a row's bits are the same.
#include <map>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/product_timer.hpp"
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;
using ProductChoice = testing::OnGpu;

// A product with operands of its own.
struct Operands {
  static constexpr std::int64_t kMost = 640;
  std::int64_t n, k, whole_n;
  Array<Half> weight, bias, x, other_x, out;

  Operands(testing::Random& random, std::int64_t n_, std::int64_t k_, std::int64_t whole_n_)
      : n(n_),
        k(k_),
        whole_n(whole_n_),
        weight(Halves(random, n * k, 0.05f).upload()),
        bias(Halves(random, n).upload()),
        x(Halves(random, kMost * k).upload()),
        other_x(Halves(random, kMost * k).upload()),
        out(Array<Half>::filled(kMost * n, testing::kPoison)) {}

  Product product(std::int64_t m, Epilogue epilogue) const {
    return {.m = m,
            .n = n,
            .k = k,
            .x_stride = k,
            .out_stride = n,
            .whole_n = whole_n,
            .x = x.get(),
            .weight = weight.get(),
            .bias = bias.get(),
            .relu = epilogue == Epilogue::relu,
            .add = epilogue == Epilogue::add,
            .out = out.get()};
  }
  std::vector<Half> results(std::int64_t m) const {
    auto all = out.values();
    all.resize(static_cast<std::size_t>(m * n));
    return all;
  }
  void clear() const {
    testing::require(cudaDeviceSynchronize());  // work on other streams may still write
    testing::require(cudaMemset(out.get(), 0x2c, static_cast<std::size_t>(kMost * n) * sizeof(Half)));
    testing::require(cudaDeviceSynchronize());
  }
};

TEST(RowClass, CoversRowsClosely) {
  for (std::int64_t rows = 1; rows <= 5000; ++rows) {
    const std::int64_t of_class = row_class(rows);
    EXPECT_GE(of_class, rows);
    EXPECT_EQ(row_class(of_class), of_class);
    EXPECT_LT(of_class - rows, rows > 128 ? rows / 4 : rows > 16 ? rows / 2 : 8) << rows;
  }
  EXPECT_EQ(row_class(1), 1);
  EXPECT_EQ(row_class(33), 48);
  EXPECT_EQ(row_class(129), 160);
  EXPECT_EQ(row_class(257), 320);
}

// Those that gave the reference's bits for one x give them for another.
TEST_F(ProductChoice, AdmittedAlgorithmsGiveTheSameBits) {
  const MatmulLibrary library(context().parts().workspace.data(), context().workspace_bytes());
  ProductTimer timer({});
  std::size_t admitted = 0, all = 0;
  const Operands operands[] = {
      {random, 4096, 4096, 12288}, {random, 4096, 4096, 4096}, {random, 2048, 8192, 2048}};
  for (const Operands& own : operands)
    for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::add}) {
      MatmulShape whole = shape_of(own.product(MatmulLibrary::kMany, epilogue));
      whole.n = whole.out_stride = own.whole_n;
      const auto reference = library.reference(whole);
      ASSERT_TRUE(reference.has_value());
      for (const std::int64_t m : {1, 8, 24, 48, 128, 160, 320, 640}) {
        Product product = own.product(m, epilogue);
        const auto problem = library.describe(shape_of(product));
        const auto timed = timer.time(library, product, *reference,
                                      library.like(*reference, shape_of(product), 64), context().stream());
        product.x = own.other_x.get();
        const auto results = [&](const MatmulLibrary::Algorithm& algorithm) {
          own.clear();
          library.run(*problem, algorithm, product, context().stream());
          return own.results(m);
        };
        const auto expected = results(*reference);
        for (const auto& each : timed) {
          ++all;
          if (!each.same) continue;
          ++admitted;
          EXPECT_GT(each.microseconds, 0);
          EXPECT_EQ(results(each.algorithm), expected)
              << m << " rows [" << own.n << " x " << own.k << " of " << own.whole_n << "], epilogue "
              << static_cast<int>(epilogue) << ", " << MatmulLibrary::text_of(each.algorithm);
        }
      }
    }
  EXPECT_GT(admitted, std::size(operands) * 3 * 8);  // more than one a product: there is a choice
  std::printf("%zu of %zu candidates give the reference's bits\n", admitted, all);
}

TEST_F(ProductChoice, RowsKeepTheirBits) {
  for (const bool add : {false, true}) {
    const Operands own(random, 4096, 2048, 4096);
    const Matrix matrix{.columns = own.k, .pieces = {Piece{own.weight.get(), own.n}}};
    const auto results = [&](std::int64_t m) {
      own.clear();
      linear(context(), own.x.get(), own.k, m, matrix, own.bias.get(), add ? Epilogue::add : Epilogue::relu,
             own.out.get(), own.n);
      return own.results(m);
    };
    std::map<std::int64_t, std::vector<Half>> ranked;
    for (const std::int64_t m : {1, 5, 40, 640}) ranked[m] = results(m);
    Context timed(context().stream());
    {
      const ProductTiming timing(timed, {});
      for (std::int64_t m = 1; m <= Operands::kMost; m = next_row_class(m))
        linear(timed, own.x.get(), own.k, m, matrix, own.bias.get(), add ? Epilogue::add : Epilogue::relu,
               own.out.get(), own.n);
    }
    for (const auto& [m, expected] : ranked) {
      own.clear();
      linear(timed, own.x.get(), own.k, m, matrix, own.bias.get(), add ? Epilogue::add : Epilogue::relu,
             own.out.get(), own.n);
      EXPECT_EQ(own.results(m), expected) << m << " rows";
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), ranked[Operands::kMost].begin()));
    }
  }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
