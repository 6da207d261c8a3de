/*
 * Preloaded into linux.uml on processors with AMX.
 *
 * The kernel takes PTRACE_SETREGSET(NT_X86_XSTATE) only with the processor's whole state, 11008
 * bytes with AMX; User-mode Linux 6.1 has room for 2696 and dies with "ptrace set fp regs failed,
 * errno = 14". What it lacks is the tiles' state alone, which no guest can have asked for: it is
 * added here as zeros.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long ptrace_call(enum __ptrace_request, pid_t, void *, void *);

/* Static: this runs on a guest kernel stack of 16 KiB, and UML's kernel is a single thread. */
static char whole[65536];
static size_t whole_size;

static long set_xstate(ptrace_call *real, pid_t pid, struct iovec *given)
{
    struct iovec all = {whole, sizeof whole};

    if (whole_size == 0) {
        if (real(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) < 0)
            return -1;
        whole_size = all.iov_len;
        memset(whole, 0, sizeof whole);
    }
    if (given->iov_len >= whole_size)
        return real(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, given);
    memcpy(whole, given->iov_base, given->iov_len);
    all.iov_len = whole_size;
    return real(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
    static ptrace_call *real;
    va_list rest;

    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (real == NULL)
        real = (ptrace_call *)dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
        return set_xstate(real, pid, data);
    return real(request, pid, address, data);
}
