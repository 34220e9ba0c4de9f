/* Adds CLOCK_OFF_BY seconds to the time of day. Preloaded; interposes what the C library offers to the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, time);
  const char *off_by = getenv("CLOCK_OFF_BY");
  if (result == 0 && clock == CLOCK_REALTIME && off_by) time->tv_sec += atol(off_by);
  return result;
}
