/* Calls to the host that runs the emulator: "Semihosting for AArch32 and AArch64" (Arm), and the RISC-V
   specification that takes its calls over. */
#ifndef SPLITKIT_SEMIHOSTING_H
#define SPLITKIT_SEMIHOSTING_H

#include <stdint.h>

enum { HOST_READ_BINARY = 1, HOST_WRITE_BINARY = 5 };

int host_open(const char *path, int mode);
int host_read(int handle, void *at, uint32_t bytes);        /* 1 if all of it came, 0 at the end of the file */
int host_write(int handle, const void *at, uint32_t bytes); /* 1 if all of it went */
void host_complain(const char *text);                       /* to the debug console: the emulator's standard error */
void host_complain_hex(const char *what, uint32_t value);
_Noreturn void host_exit(int code);

#endif
