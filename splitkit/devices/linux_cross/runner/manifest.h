// What the two halves have to agree on, from a bundle's manifest.json.
#pragma once

#include <cstdint>
#include <string>

#include "tensor.h"
#include "wire.h"

namespace splitkit {

struct Manifest {
    wire::BundleKey bundle{};  // the first 16 bytes of the bundle's id
    TensorType link;           // what one sensor sends per frame
    float scale = 1.0f;
    std::int32_t zero_point = 0;
    std::uint32_t views = 1;
    double link_bytes_per_s = 1.0, link_overhead_us = 0.0;
    bool link_shared = false;

    // What the link takes, by its profile, until so many bytes of every view have passed.
    double transfer_s(std::size_t bytes) const;
};

// Throws Error: the file cannot be read, is not JSON, lacks a field or has one out of range.
Manifest read_manifest(const std::string& path);

}  // namespace splitkit
