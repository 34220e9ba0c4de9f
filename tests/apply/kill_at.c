/* Kills the process just before its KILL_AT-th durable step: a sync, a rename, or a removal of a file. Preloaded;
 * interposes what the C library offers to the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long steps;

static void step(void) {
  long at = atomic_fetch_add(&steps, 1) + 1;
  const char *kill_at = getenv("KILL_AT");
  if (kill_at && at == atol(kill_at)) kill(getpid(), SIGKILL);
}

#define INTERPOSE(name, declared, passed)                  \
  int name declared {                                      \
    int(*real) declared = dlsym(RTLD_NEXT, #name);         \
    step();                                                \
    return real passed;                                    \
  }

INTERPOSE(fsync, (int file), (file))
INTERPOSE(fdatasync, (int file), (file))
INTERPOSE(rename, (const char *from, const char *to), (from, to))
INTERPOSE(unlink, (const char *path), (path))
