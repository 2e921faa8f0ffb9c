// Enough JSON to read a manifest: a document becomes a map from paths such as `link.shape.0` to the text of the leaf.
#pragma once

#include <map>
#include <string>

namespace splitkit {

using Leaves = std::map<std::string, std::string>;

// Strings lose their quotes and keep their escapes; numbers, true, false and null are as written.
// Throws Error: not JSON, or nested deeper than 64.
Leaves read_json(const std::string& text);

}  // namespace splitkit
