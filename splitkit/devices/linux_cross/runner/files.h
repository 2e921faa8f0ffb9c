// Whole files and streams of frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace splitkit {

// Throws Error: cannot be read.
std::vector<std::uint8_t> read_file(const std::string& path);

// Fill a buffer from a descriptor; false at its end. Throws Error: it ends in the middle of a frame.
bool read_frame(int fd, std::vector<std::uint8_t>& frame);

// Throws Error: cannot be written.
void write_all(int fd, const std::uint8_t* data, std::size_t size);

}  // namespace splitkit
