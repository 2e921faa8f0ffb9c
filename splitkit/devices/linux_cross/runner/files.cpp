#include "files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error.h"

namespace splitkit {

namespace {

// As read(2), through interruptions.
std::size_t read_some(int fd, std::uint8_t* to, std::size_t size) {
    for (;;) {
        const ssize_t n = read(fd, to, size);
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno != EINTR) throw Error(std::string("cannot read: ") + std::strerror(errno));
    }
}

}  // namespace

std::vector<std::uint8_t> read_file(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw Error(path + ": cannot be opened: " + std::strerror(errno));
    std::vector<std::uint8_t> content, chunk(1 << 16);
    try {
        while (const std::size_t n = read_some(fd, chunk.data(), chunk.size()))
            content.insert(content.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(n));
    } catch (const Error& error) {
        close(fd);
        throw Error(path + ": " + error.what());
    }
    close(fd);
    return content;
}

bool read_frame(int fd, std::vector<std::uint8_t>& frame) {
    std::size_t got = 0;
    while (got < frame.size()) {
        const std::size_t n = read_some(fd, frame.data() + got, frame.size() - got);
        if (n == 0 && got == 0) return false;
        if (n == 0)
            throw Error("the input ends after " + std::to_string(got) + " of a frame's " +
                        std::to_string(frame.size()) + " bytes");
        got += n;
    }
    return true;
}

void write_all(int fd, const std::uint8_t* data, std::size_t size) {
    for (std::size_t written = 0; written < size;) {
        const ssize_t n = write(fd, data + written, size - written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw Error(std::string("cannot write: ") + std::strerror(errno));
        written += static_cast<std::size_t>(n);
    }
}

}  // namespace splitkit
