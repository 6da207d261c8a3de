/*
 * Preloaded into linux.uml: the machine's hardware clock is KSBUILD_CLOCK_OFFSET seconds off.
 *
 * User-mode Linux reads its hardware clock by clock_gettime(CLOCK_REALTIME) when it boots, and goes
 * on by the monotonic clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static time_t offset;

__attribute__((constructor)) static void begin(void)
{
    const char *given = getenv("KSBUILD_CLOCK_OFFSET");

    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    offset = given ? atol(given) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int status = real(clock, time);

    if (status == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += offset;
    return status;
}
