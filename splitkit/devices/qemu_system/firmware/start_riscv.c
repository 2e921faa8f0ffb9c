/* Reset and traps of a RISC-V core in machine mode. */
#include <stdint.h>
#include <string.h>

#include "semihosting.h"

extern char image_data_load[], image_data_start[], image_data_end[], image_bss_start[], image_bss_end[];

int main(void);

__attribute__((used)) void begin(void)
{
    memcpy(image_data_start, image_data_load, (uint32_t)(image_data_end - image_data_start));
    memset(image_bss_start, 0, (uint32_t)(image_bss_end - image_bss_start));
    host_exit(main());
}

__attribute__((used)) void complain(void)
{
    uint32_t cause, value, counter;
    __asm__ volatile("csrr %0, mcause\n\tcsrr %1, mtval\n\tcsrr %2, mepc" : "=r"(cause), "=r"(value), "=r"(counter));
    host_complain_hex("fault: status", cause);
    host_complain_hex(" at address", value);
    host_complain_hex(", program counter", counter);
    host_complain("\n");
    host_exit(3);
}

/* A fault may have come of the stack itself: its handler starts over at the top. */
__attribute__((section(".vectors"), used, naked)) void reset(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option norelax\n\t"
                     "la sp, image_stack_top\n\t"
                     "la t0, 1f\n\t"
                     "csrw mtvec, t0\n\t"
                     "li t0, 0x6000\n\t" /* mstatus.FS: floating point */
                     "csrs mstatus, t0\n\t"
                     "csrw fcsr, x0\n\t"
                     "call begin\n\t"
                     ".balign 4\n"
                     "1:\n\t"
                     "la sp, image_stack_top\n\t"
                     "call complain\n\t"
                     ".option pop");
}
