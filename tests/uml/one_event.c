/*
 * Preloaded into linux.uml: epoll_wait() returns one event at a time.
 *
 * User-mode Linux 6.1 has one array for what epoll_wait() returned, and an interrupt that arrives
 * while a softirq runs overwrites it before the rest of it was handled (sigio_handler() in
 * arch/um/kernel/irq.c, epoll_events in arch/um/os-Linux/irq.c). The descriptors are edge-triggered,
 * so what is lost there does not come again: once all 64 requests of a disk were answered that way,
 * the machine waited for its disk for ever. Seen on a resync over three cards.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/epoll.h>

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
    static int (*real)(int, struct epoll_event *, int, int);

    if (real == NULL)
        real = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
    if (real == NULL)
        abort();
    return real(epoll, events, room > 1 ? 1 : room, timeout);
}
