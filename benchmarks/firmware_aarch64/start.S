/* QEMU's `virt` board enters here at EL1. Floating point on, memory mapped one to one (unmapped memory is device memory,
   which unaligned vector loads may not touch), then main. */
    .section .text.start, "ax"
    .global _start
_start:
    mov x0, #(3 << 20)
    msr cpacr_el1, x0
    mov x0, #0xff00
    msr mair_el1, x0               /* attribute 0: device-nGnRnE, attribute 1: normal, write-back */
    ldr x0, =0x80803519            /* 39-bit addresses, 4 KB granule, write-back walks, no upper half */
    msr tcr_el1, x0
    adrp x0, tables
    msr ttbr0_el1, x0
    ldr x1, =0x401                 /* 1 GB block at 0: devices */
    str x1, [x0]
    ldr x1, =0x40000705            /* 1 GB block at 1 GB: normal memory, inner shareable */
    str x1, [x0, #8]
    dsb sy
    tlbi vmalle1
    dsb sy
    isb
    mrs x0, sctlr_el1
    mov x1, #0x1005                /* MMU and caches */
    orr x0, x0, x1
    msr sctlr_el1, x0
    isb
    adrp x0, stack_top
    mov sp, x0
    bl main
    mov x1, x0
    adr x2, exit_block
    str x1, [x2, #8]
    mov w0, #0x20                  /* SYS_EXIT_EXTENDED, application exit */
    mov x1, x2
    hlt #0xf000
    b .

    .data
    .balign 16
exit_block:
    .quad 0x20026, 0

    .bss
    .balign 4096
tables:
    .skip 4096
    .balign 65536
    .skip 262144
    .balign 4096
stack_top:
    .skip 16
