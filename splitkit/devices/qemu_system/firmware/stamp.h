/* Included before a generated network (cc -include): time stamps between its kernels. */
#ifndef SPLITKIT_STAMP_H
#define SPLITKIT_STAMP_H

void splitkit_stamp(int index);
#define SPLITKIT_AFTER_KERNEL(index) splitkit_stamp(index)

#endif
