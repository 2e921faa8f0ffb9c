#include "semihosting.h"

#include <string.h>

enum { SYS_OPEN = 0x01, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { APPLICATION_EXIT = 0x20026 };

static int call(int operation, const void *arguments)
{
#ifdef __arm__
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#else
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = arguments;
    __asm__ volatile(".balign 16\n"
                     ".option push\n"
                     ".option norvc\n"
                     "slli x0, x0, 0x1f\n"
                     "ebreak\n"
                     "srai x0, x0, 7\n"
                     ".option pop\n"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
#endif
}

int host_open(const char *path, int mode)
{
    const uint32_t arguments[] = {(uint32_t)path, (uint32_t)mode, strlen(path)};
    return call(SYS_OPEN, arguments);
}

/* Both calls return how many bytes are left; a pipe may take and give less than was asked for. */
static int transfer(int operation, int handle, uint32_t at, uint32_t bytes)
{
    while (bytes) {
        const uint32_t arguments[] = {(uint32_t)handle, at, bytes};
        const uint32_t left = (uint32_t)call(operation, arguments);
        if (left >= bytes) {
            return 0;
        }
        at += bytes - left;
        bytes = left;
    }
    return 1;
}

int host_read(int handle, void *at, uint32_t bytes)
{
    return transfer(SYS_READ, handle, (uint32_t)at, bytes);
}

int host_write(int handle, const void *at, uint32_t bytes)
{
    return transfer(SYS_WRITE, handle, (uint32_t)at, bytes);
}

void host_complain(const char *text)
{
    call(SYS_WRITE0, text);
}

void host_complain_hex(const char *what, uint32_t value)
{
    char text[] = "00000000";
    for (int i = 7; i >= 0; --i, value >>= 4) {
        text[i] = "0123456789abcdef"[value & 15u];
    }
    host_complain(what);
    host_complain(" 0x");
    host_complain(text);
}

void host_exit(int code)
{
    const uint32_t arguments[] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) {
        call(SYS_EXIT_EXTENDED, arguments);
    }
}
