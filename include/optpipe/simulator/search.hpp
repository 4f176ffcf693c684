// The policy with the most tokens a second that fits. Policies of a coarse grid are rated by a closed formula
// (the busiest resource of a token step sets the pace), the best of them are made to fit by the planner and
// simulated, and from the best of those the search goes on in small steps, simulating each.
#pragma once

#include <string>
#include <vector>

#include "optpipe/simulator/site.hpp"

namespace optpipe::simulator {

struct SearchRequest {
  model::ModelConfig config;
  DType weights = DType::f16;
  Site site;
  std::vector<int> ranks{1};  // to choose from, each at least 1 and at most the model's layers
  std::int64_t prompt_tokens = 512, new_tokens = 32;
  std::int64_t prompts = 0;  // in all; 0: as many as a policy has in flight
  std::vector<StorageFormat> weight_formats{StorageFormat::native}, kv_formats{StorageFormat::native};
  bool x_cache = false;  // also the X cache in place of keys and values
  std::size_t keep = 5;
  double seconds = 20;  // after which no further step is tried
};

struct Found {
  int ranks = 1;
  memory::Policy policy;
  std::int64_t prompts = 0;
  Prediction prediction;
  double token_s = 0;  // new tokens of all prompts over the whole time
};

struct SearchResult {
  std::vector<Found> best;  // the best first, each different in more than a percentage
  std::size_t rated = 0;    // by the formula
  std::size_t simulated = 0;
};

SearchResult search(const SearchRequest& request);

}  // namespace optpipe::simulator
