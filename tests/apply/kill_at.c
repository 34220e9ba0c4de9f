/* Kills the process just before its KILL_AT-th durable step: a sync, a rename, or a removal of a file. Counts the steps into the
 * file that KILL_COUNT names. Preloaded; interposes what the C library offers to the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long steps;

static void step(const char *what) {
  long at = atomic_fetch_add(&steps, 1) + 1;
  const char *count = getenv("KILL_COUNT"), *kill_at = getenv("KILL_AT");
  if (count) {
    char line[64];
    int length = snprintf(line, sizeof line, "%ld %s\n", at, what);
    int file = open(count, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file >= 0) {
      if (write(file, line, length) < 0) abort();
      close(file);
    }
  }
  if (kill_at && at == atol(kill_at)) kill(getpid(), SIGKILL);
}

#define INTERPOSE(name, declared, passed)                  \
  int name declared {                                      \
    int(*real) declared = dlsym(RTLD_NEXT, #name);         \
    step(#name);                                           \
    return real passed;                                    \
  }

INTERPOSE(fsync, (int file), (file))
INTERPOSE(fdatasync, (int file), (file))
INTERPOSE(rename, (const char *from, const char *to), (from, to))
INTERPOSE(unlink, (const char *path), (path))
