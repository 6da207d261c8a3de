/*
 * Preloaded into every program of a node (ld.so.preload): before its own first line runs, tells a
 * collector who started it, its arguments and its environment. None is missed by being short-lived.
 *
 * One datagram: three lists of NUL-ended words, each list ended by a record separator (0x1e).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char told[131072];
static size_t used;

static void add(const char *text, size_t length)
{
    if (length > sizeof told - used)
        length = sizeof told - used; /* a full datagram is an error to the collector */
    memcpy(told + used, text, length);
    used += length;
}

static void add_words(char **words)
{
    for (; *words; words++)
        add(*words, strlen(*words) + 1);
    add("\036", 1);
}

__attribute__((constructor)) static void tell(int argc, char **argv, char **envp)
{
    struct sockaddr_un address = {AF_UNIX, "/run/started"};
    char path[64], parent[4096];
    int saved = errno, file, door = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t length = 0;

    (void)argc;
    if (door >= 0) {
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)getppid());
        file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            length = read(file, parent, sizeof parent);
            close(file);
        }
        if (length > 0)
            add(parent, (size_t)length);
        add("\036", 1);
        add_words(argv);
        add_words(envp);
        sendto(door, told, used, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address);
        close(door);
    }
    errno = saved;
}
