// CRC-32 of zlib and Ethernet (polynomial 0xEDB88320, reflected). `crc` continues an earlier call's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace splitkit {

std::uint32_t crc32(const std::uint8_t* data, std::size_t size, std::uint32_t crc = 0);

}  // namespace splitkit
