/* What the firmware's main program knows of the network it is built around. build.py writes network.c. */
#ifndef SPLITKIT_NETWORK_H
#define SPLITKIT_NETWORK_H

#include <stdint.h>

typedef struct {
    void *at;
    uint32_t bytes;
} network_buffer;

extern const network_buffer network_inputs[];
extern const network_buffer network_outputs[];
extern const uint32_t network_input_count, network_output_count, network_kernels;

int network_init(void);
int network_run(void);          /* as a product runs it */
int network_run_profiled(void); /* the same, with a time stamp after every kernel */

#endif
